"""The mix of reads, starts, cancels and followed builds in the scenarios steady and soak."""

from touchstone.loadgen.load_run import Flow
from touchstone.loadgen.plan import POLL_S
from users import BuildUser


class Mixture(BuildUser):
    """The actions of the mix."""

    abstract = True

    def do_read(self) -> None:
        """Reads the status of a ready version."""
        arrival, refs = self.arrive(), self.refs("ready")
        self.flow(arrival, keep=self.run_.keeps_read()).send("getBuild", refs[arrival.number % len(refs)])

    def do_start(self) -> None:
        """Starts a build and polls its status until it ends."""
        ref, flow, started = self.build()
        if started.status == 202:
            flow.await_end(ref, started)

    def do_cancel(self) -> None:
        """Starts a build, cancels it once it runs, and polls its status until it ends."""
        ref, flow, started = self.build()
        if started.status != 202:
            return
        if self._is_building(flow, ref):
            self.run_.rest(POLL_S)
            flow.send("cancelBuild", ref)
        flow.await_end(ref, started, cancelled=True)

    def _is_building(self, flow: Flow, ref: str) -> bool:
        """Polls until a read reports ``building``; returns False if the build ends first or the wait times out."""
        run = self.run_
        limit_at = run.now() + run.target.build_timeout_s
        while run.now() < limit_at:
            status = flow.send("getBuild", ref).content.get("status")
            if status == "building":
                return True
            if status in ("ready", "failed") or run.silence.lasts(run.now()) or not run.rest(POLL_S):
                return False
        return False

    def do_stream(self) -> None:
        """Starts a build, then follows its log and polls its status at the same time."""
        ref, flow, started = self.build()
        if started.status != 202:
            return
        following = self.run_.spawn(flow.follow, ref)
        flow.await_end(ref, started)
        following.join()
