"""The Open Inference Protocol over gRPC. It needs the extra `grpc`, and nothing here is imported without its port."""
