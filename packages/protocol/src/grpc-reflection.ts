import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { file_cache } from './gen/cache_pb.js';
import { file_dcache_v1_admin } from './gen/dcache/v1/admin_pb.js';
import { file_dcache_v1_cache } from './gen/dcache/v1/cache_pb.js';

/** Each proto file as a serialized `FileDescriptorProto`, for a server that tells its services. */
export function grpcFileDescriptors(): Uint8Array[] {
  return [file_cache, file_dcache_v1_cache, file_dcache_v1_admin].map((file) =>
    toBinary(FileDescriptorProtoSchema, file.proto),
  );
}
