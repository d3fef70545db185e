"""DStreams: what programs import as ``pyspark.streaming``.

The Python side describes the graph of a program and runs its functions; the batch clock, the receivers, windows,
state, checkpoints and listeners are the native graph's (``millstream._native.StreamingGraph``, over the Rust crate
``dstream``).
"""

from millstream.streaming.context import StreamingContext
from millstream.streaming.dstream import DStream
from millstream.streaming.listener import StreamingListener

__all__ = ["DStream", "StreamingContext", "StreamingListener"]
