# syntax=docker/dockerfile:1
# The server and its command line, from the sources here:
#
#   docker build -t dcache .
#   docker run --rm -p 127.0.0.1:9200:9200 dcache --http --grpc --addr 0.0.0.0:9000 --bootstrap --insecure
#
# Bound to an address that others reach, it starts only with TLS, with tokens, or with --insecure: docs/security.md.
ARG NODE_IMAGE=node:20-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json tsconfig.base.json ./
COPY packages packages
COPY test/package.json test/
RUN npm ci --no-audit --no-fund && npx tsc -b packages/server packages/client
# The same folder again, with nothing but what runs.
RUN npm ci --omit=dev --no-audit --no-fund --workspace packages/server --workspace packages/client \
  && find packages -name '*.test.*' -delete \
  && rm -rf packages/*/src packages/bcache packages/sim packages/testing

FROM ${NODE_IMAGE}
ENV NODE_ENV=production DCACHE_DATA_DIR=/data
WORKDIR /app
COPY --from=build /src/node_modules node_modules
COPY --from=build /src/packages packages
RUN ln -s /app/packages/server/bin/dcache.js /usr/local/bin/dcache \
  && ln -s /app/packages/client/bin/dcache-client.js /usr/local/bin/dcache-client \
  && install -d -o node -g node /data
USER node
VOLUME /data
# Clients and Raft; gossip.
EXPOSE 9200 9000/tcp 9000/udp
# A port that speaks TLS answers plain HTTP with 400, and lives.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.DCACHE_RPC_PORT ?? 9200}/-/live`).then((answer) => process.exit(answer.status < 500 ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["dcache"]
CMD ["--help"]
