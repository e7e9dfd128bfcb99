"""Locust's own users as everybody writes them: the same request again and again."""

import os

from locust import FastHttpUser, HttpUser, task

PATH = os.environ["BENCH_PATH"]
HEADERS = {"Authorization": os.environ["BENCH_AUTHORIZATION"]}


class Fast(FastHttpUser):
    """The one over geventhttpclient."""

    @task
    def read(self) -> None:
        """One status read."""
        self.client.get(PATH, headers=HEADERS)


class Plain(HttpUser):
    """The one over requests."""

    @task
    def read(self) -> None:
        """One status read."""
        self.client.get(PATH, headers=HEADERS)
