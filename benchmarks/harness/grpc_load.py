"""Put a gRPC server under load."""

import asyncio
import time
from collections.abc import Sequence
from statistics import quantiles

import grpc

from benchmarks.harness.servers import Server
from benchmarks.harness.wrk import Run

INFER = "/inference.GRPCInferenceService/ModelInfer"


def put_under_grpc_load(
    server: Server, address: str, messages: Sequence[bytes], connections: int, seconds: float
) -> Run:
    """Keep this number of connections busy, each with one call at a time.

    The client is written in Python and takes more processor time than the server, so it limits the rate.

    Args:
        server: the server's processes.
        address: where it answers calls.
        messages: the messages, which are sent in turn.
        connections: number of connections.
        seconds: duration.
    """
    cpu_began = server.cpu_seconds()
    began = time.perf_counter()
    latencies = asyncio.run(_load(address, messages, connections, seconds))
    passed = time.perf_counter() - began
    cpu_seconds = server.cpu_seconds() - cpu_began
    percentiles = quantiles(latencies, n=100)
    return Run(
        rate=len(latencies) / passed,
        p50_ms=1000 * percentiles[49],
        p99_ms=1000 * percentiles[98],
        cpu_us=1e6 * cpu_seconds / len(latencies),
        errors={},  # the first one ends the benchmark
    )


async def _load(address: str, messages: Sequence[bytes], connections: int, seconds: float) -> list[float]:
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds

    async def client(number: int) -> None:
        # Otherwise all channels share one connection.
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            infer = channel.unary_unary(INFER)
            while (began := time.perf_counter()) < deadline:
                await infer(messages[(number + len(latencies)) % len(messages)])
                latencies.append(time.perf_counter() - began)

    await asyncio.gather(*map(client, range(connections)))
    return latencies
