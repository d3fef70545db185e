"""Millstream: PySpark streaming programs, unchanged and without a JVM.

The command ``millstream`` runs programs (``millstream run app.py``), gives a shell (``millstream shell``) and serves
other Spark Connect clients (``millstream serve``). Nothing of PySpark is imported until a program asks for it.
"""

from millstream._native import SPARK_VERSION, __version__

__all__ = ["SPARK_VERSION", "__version__"]
