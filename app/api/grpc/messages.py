"""The service and the messages of open_inference.proto, from the description that protoc made of it.

A module that protoc makes would refuse other releases of protobuf than its own.
"""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet

_SET = FileDescriptorSet.FromString(Path(__file__).with_name("open_inference.binpb").read_bytes())
_FILE = descriptor_pool.Default().AddSerializedFile(_SET.file[0].SerializeToString())

SERVICE: Any = _FILE.services_by_name["GRPCInferenceService"]

_MESSAGES = message_factory.GetMessageClassesForFiles([_FILE.name], descriptor_pool.Default())
ModelInferRequest, ModelInferResponse = (_MESSAGES[f"inference.ModelInfer{kind}"] for kind in ("Request", "Response"))
