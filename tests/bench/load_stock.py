"""Locust's own user as everybody writes it, paced: the same request again and again, so many a second each."""

import os

from locust import FastHttpUser, constant_throughput, task


class Fast(FastHttpUser):
    """The one over geventhttpclient."""

    wait_time = constant_throughput(float(os.environ["BENCH_PER_USER_S"]))

    @task
    def read(self) -> None:
        """One status read."""
        self.client.get(os.environ["BENCH_PATH"], headers={"Authorization": os.environ["BENCH_AUTHORIZATION"]})
