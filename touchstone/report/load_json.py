"""The load of a run for programs: numbers in seconds and shares, nothing cut and nothing rounded to please."""

from math import isfinite
from typing import Any

from touchstone.loadgen.capacity import Capacity, Room
from touchstone.loadgen.lateness import Punctuality
from touchstone.loadgen.metrics import Operation, Times, Traffic
from touchstone.loadgen.not_judged import Fallen
from touchstone.report.load_view import LimitLine, LoadView
from touchstone.report.load_words import beyond_words, capacity_words, generator_words


def document(load: LoadView) -> dict[str, Any]:
    """The load as JSON values."""
    workload = load.workload
    return {
        "workload": {
            "scenario": workload.scenario,
            "says": workload.says,
            "model": workload.model,
            "engine": workload.engine,
            "engine_reason": workload.engine_reason,
            "arrivals": workload.arrivals,
            "began_at_s": workload.began_at,
            "duration_s": workload.duration_s,
            "scheduled": workload.scheduled,
            "workers": workload.workers,
            "seed": workload.seed,
            "options": workload.options,
        },
        "measured_s": load.numbers.measured_s,
        "total": {**_operation(load.numbers.total), "not_in_times": list(load.numbers.lasting)},
        "operations": {one.name: _operation(one) for one in load.numbers.operations},
        "thresholds": [_threshold(line) for line in load.limits],
        "capacity": _capacity(load.capacity) if load.capacity else None,
        "asked": {"starts": load.asked[0], "refused": load.asked[1], "failed": load.asked[2]},
        "silent": _silent(load.silence) if load.silence else None,
        "pauses": [{"from_s": one.from_s, "to_s": one.to_s, "waiting": one.waiting} for one in load.pauses],
        "generator": _generator(load.kept, workload.began_at),
    }


def _silent(silence: Fallen) -> dict[str, Any]:
    return {
        "from_s": silence.from_s,
        "unanswered": silence.unanswered,
        "cut_off": silence.cut_off,
        "unanswered_in_all": silence.in_all,
    }


def _operation(one: Operation) -> dict[str, Any]:
    return {
        **_traffic(one.whole),
        "unsent": one.unsent,
        "error_share": one.error_share,
        "refused_share": one.refused_share,
        "kinds": dict(one.kinds),
        "outcomes": {row.outcome: _traffic(row) for row in one.outcomes},
    }


def _traffic(row: Traffic) -> dict[str, Any]:
    return {
        "count": row.count,
        "timed": row.timed,
        "share": row.share,
        "rate_per_s": row.rate_per_s,
        "response": _times(row.response),
        "service": _times(row.service),
        "late": _times(row.late),
    }


def _times(times: Times | None) -> dict[str, Any] | None:
    if times is None:
        return None
    return {
        "count": times.count,
        "no_answer": times.never,
        "min_s": times.min_s,
        "mean_s": times.mean_s,
        **{one.key: one.value_s if isfinite(one.value_s) else None for one in times.percentiles},
        "max_s": times.max_s,
        "unsure": [one.key for one in times.percentiles if not one.sure],
    }


def _threshold(line: LimitLine) -> dict[str, Any]:
    reading = line.reading
    return {
        "operation": reading.limit.operation,
        "statistic": reading.limit.statistic,
        "limit": reading.limit.value,
        "bound": line.bound,
        "measured": reading.value,
        "margin_share": line.margin_share,
        "samples": reading.count,
        "verdict": reading.verdict,
        "reason": reading.reason,
    }


def _capacity(found: Capacity) -> dict[str, Any]:
    clients = found.clients
    return {
        "says": capacity_words(found),
        "finding": found.finding,
        "at_least": found.at_least,
        "at_most": found.at_most,
        "refused_full": found.refused_full,
        "refused_below": found.refused_below,
        "refused_needless": found.refused_needless,
        "refused_unsure": found.refused_unsure,
        "refusals_say": list(found.told),
        "room": _room(found.room) if found.room else None,
        "admitted": found.admitted,
        "busiest": {f"{span_s}_s": number for span_s, number in found.busiest.items()},
        "clients": {
            "says": beyond_words(found),
            "wanted": clients.wanted,
            "at_once": clients.at_once,
            "later": clients.later,
            "gave_up": clients.gave_up,
            "still_trying": clients.still_trying,
            "turned_away": clients.turned_away,
            "failed": clients.failed,
            "tries": clients.tries,
            "wait_p50_s": clients.wait_p50_s,
            "wait_max_s": clients.wait_max_s,
        },
    }


def _room(asked: Room) -> dict[str, Any]:
    return {
        "is_full_host": asked.is_full_host,
        "inside": asked.inside,
        "refused": asked.refused,
        "unbidden": asked.unbidden,
        "cancels": len(asked.turns),
        "let_in": asked.let_in,
    }


def _generator(kept: Punctuality, began_at: float) -> dict[str, Any]:
    return {
        "says": generator_words(kept, began_at),
        "kept_up": kept.kept_up,
        "scheduled": kept.scheduled,
        "sent": kept.sent,
        "unsent": kept.unsent,
        "unwatched": kept.unwatched,
        "over_budget": kept.over_budget,
        "spent_at_s": kept.spent_at_s,
        "unknown": kept.missing,
        "late": _times(kept.late),
        "behind_from_s": kept.behind_from_s,
        "behind_s": kept.behind_s,
        "workers": [
            {
                "number": line.last.number,
                "state": line.last.state,
                "assigned": line.last.assigned,
                "sent": line.last.sent,
                "unsent": line.last.unsent,
                "late": _times(line.late),
                "behind_from_s": line.last.behind_from_s,
                "behind_s": line.last.behind_s,
                "cpu_share": line.cpu_share,
                "rss_bytes": line.rss_bytes,
                "clock_offset_s": line.last.clock_offset_s,
                "clock_error_s": line.last.clock_error_s,
                "note": line.last.note,
            }
            for line in kept.workers
        ],
    }
