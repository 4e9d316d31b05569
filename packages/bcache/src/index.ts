export { Replica, type ReplicaOptions } from './replica.js';
