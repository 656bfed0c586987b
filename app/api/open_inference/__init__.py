"""The Open Inference Protocol V2, which KServe, Triton and MLServer speak."""
