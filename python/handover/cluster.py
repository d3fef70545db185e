"""A Spark standalone cluster of two workers on this machine, as small as it can be."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 120
WORKERS = 2
EXECUTOR_SETTINGS = {
    "spark.cores.max": "2",
    "spark.executor.cores": "1",
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


class Cluster:
    """A master and its workers, by the Spark that lies in a PySpark; they end with the block they are used in."""

    def __init__(self, spark_python, directory):
        code = "import os, pyspark; print(os.path.dirname(pyspark.__file__))"
        home = subprocess.run([spark_python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        self.spark_class = Path(home, "bin", "spark-class")
        self.environment = os.environ | {"SPARK_HOME": home, "SPARK_DAEMON_MEMORY": "256m", "LC_ALL": "C.UTF-8"}
        self.log = Path(directory, "cluster.log")
        self.directory, self.processes = Path(directory), []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"spark://127.0.0.1:{free.getsockname()[1]}"

    def __enter__(self):
        port = self.url.rsplit(":", 1)[1]
        self._start("master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0")
        self._wait_for("I have been elected leader", 1)
        for number in range(WORKERS):
            work = self.directory / f"worker{number}"
            size = ["--cores", "1", "--memory", "700m", "--webui-port", "0", "--work-dir", work]
            self._start("worker.Worker", "--host", "127.0.0.1", *size, self.url)
        self._wait_for("Successfully registered with master", WORKERS)
        return self

    def _start(self, what, *args):
        command = [self.spark_class, f"org.apache.spark.deploy.{what}", *args]
        # Spark's own settings of logs, where what is waited for is said, go to standard error.
        with open(self.log, "a", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        self.processes.append(process)

    def _wait_for(self, text, times):
        deadline = time.monotonic() + START_SECONDS
        while self.log.read_text(encoding="utf-8").count(text) < times:
            if time.monotonic() > deadline or any(process.poll() is not None for process in self.processes):
                self.__exit__()
                sys.exit(f"the cluster did not start:\n{self.log.read_text(encoding='utf-8')[-4000:]}")
            time.sleep(0.2)

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
