"""``pyspark.streaming.kinesis``: there by name only; creating a stream fails and says so."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["InitialPositionInStream", "KinesisUtils", "MetricsLevel", "utf8_decoder"]


class InitialPositionInStream:
    """Where an application that is new begins to read."""

    __module__ = "pyspark.streaming.kinesis"

    LATEST, TRIM_HORIZON = (0, 1)


class MetricsLevel:
    """How much an application reports about itself."""

    __module__ = "pyspark.streaming.kinesis"

    DETAILED, SUMMARY, NONE = (0, 1, 2)


def utf8_decoder(s: bytes | None) -> str | None:
    """Decode a record as UTF-8; nothing stays nothing."""
    return None if s is None else s.decode("utf-8")


class KinesisUtils:
    """Streams of Amazon Kinesis, which are not supported."""

    __module__ = "pyspark.streaming.kinesis"

    @staticmethod
    def createStream(
        ssc: Any,
        kinesisAppName: str,
        streamName: str,
        endpointUrl: str,
        regionName: str,
        initialPositionInStream: str,
        checkpointInterval: int,
        metricsLevel: int = MetricsLevel.DETAILED,
        storageLevel: Any = None,
        awsAccessKeyId: str | None = None,
        awsSecretKey: str | None = None,
        decoder: Any = utf8_decoder,
        stsAssumeRoleArn: str | None = None,
        stsSessionName: str | None = None,
        stsExternalId: str | None = None,
    ) -> NoReturn:
        """Fail: there is no connector for Kinesis."""
        raise NotImplementedError(
            f"Amazon Kinesis is not supported: the stream {streamName!r} of {kinesisAppName!r} cannot be read. "
            "Sources of DStreams are sockets, text files, binary records and queues of RDDs."
        )
