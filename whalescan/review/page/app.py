"""What the page asks the server: paths to calls of the desk, and its answers as JSON, PNG and WAV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from whalescan.audio import playback
from whalescan.core import RecordingError, UsageError, WhalescanError
from whalescan.detections.precision_estimates import Estimates
from whalescan.review.page import request_parsing
from whalescan.review.page.queues import TELLING_ORDERS, TELLING_SHOWS, Choice, Order, Show
from whalescan.review.page.schemas import Queue
from whalescan.review.page.security import Guard, seal
from whalescan.review.page.session import Desk

_VERDICTS = ("yes", "no", "maybe")
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_LARGEST_PX = (1600, 800)
_CARDS_AT_A_TIME = 50
_SPEEDS = (0.5, 16.0)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for where the review was begun; the page may choose anew.

    Attributes:
        reviewer: who judges; empty where each page asks.
        choice: what is judged first.
    """

    reviewer: str = ""
    choice: Choice = field(default_factory=Choice)


def make_app(desk: Desk, wishes: Wishes, guard: Guard, finish: Callable[[], None]) -> Flask:
    """The server's side of the page.

    Args:
        desk: what is reviewed.
        wishes: as they were said where the server was started.
        guard: who may ask.
        finish: called when somebody wants the review to end.
    """
    app = Flask("whalescan.review", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 1 << 16
    app.after_request(seal)

    @app.before_request
    def check() -> tuple[Response, int] | None:
        refusal = guard.refusal(request)
        return None if refusal is None else (jsonify(problem=refusal[1]), refusal[0])

    @app.errorhandler(WhalescanError)
    def explain(error: WhalescanError) -> tuple[Response, int]:
        status = 400 if isinstance(error, UsageError) else 409 if isinstance(error, RecordingError) else 500
        return jsonify(problem=str(error)), status

    @app.errorhandler(HTTPException)
    def turn_away(error: HTTPException) -> tuple[Response, int]:
        return jsonify(problem=error.description or error.name), error.code or 500

    _add_page(app, guard)
    _add_answers(app, guard, _Answers(desk, wishes, finish))
    return app


def _add_page(app: Flask, guard: Guard) -> None:
    """The page itself: the files of the package, each by its name and by no other path."""
    for file in resources.files("whalescan.review.page").joinpath("static").iterdir():
        answer: Callable[[], Response] = _always(file.read_bytes(), _KINDS[file.name.rpartition(".")[2]])
        path = "" if file.name == "review.html" else file.name
        app.add_url_rule(f"/{guard.token}/{path}", file.name, answer)


def _always(content: bytes, kind: str) -> Callable[[], Response]:
    return lambda: Response(content, content_type=f"{kind}; charset=utf-8")


def _add_answers(app: Flask, guard: Guard, answers: _Answers) -> None:
    answers_to: dict[str, Callable[..., Response]] = {
        "survey": answers.survey,
        "queues/<name>": answers.cards,
        "queues/<name>/progress": answers.progress,
        "queues/<name>/open": answers.next_open,
        "calls/<int:number>": answers.card,
        "calls/<int:number>/picture": answers.picture,
        "calls/<int:number>/sound": answers.sound,
    }
    for path, answer in answers_to.items():
        app.add_url_rule(f"/{guard.token}/{path}", path, answer)
    acts: dict[str, Callable[[], Response]] = {
        "queues": answers.line_up,
        "judge": answers.judge,
        "take-back": answers.take_back,
        "finish": answers.finish,
    }
    for path, act in acts.items():
        app.add_url_rule(f"/{guard.token}/{path}", f"post {path}", act, methods=["POST"])


@dataclass(frozen=True)
class _Answers:
    """What is answered, a method for each path."""

    desk: Desk
    wishes: Wishes
    end: Callable[[], None]

    def survey(self) -> Response:
        desk, choice = self.desk, self.wishes.choice
        is_blind = desk.is_blind
        return jsonify(
            title=desk.run.output.absolute().name,
            n_calls=len(desk.catalog.calls),
            labels=desk.catalog.labels,
            threshold=None if is_blind else desk.catalog.threshold,
            rate_hz=desk.run.kept.rate_hz,
            is_blind=is_blind,
            reviewer=self.wishes.reviewer,
            reviewers=[] if is_blind else desk.reviewers,
            orders=[order for order in Order if not (is_blind and order in TELLING_ORDERS)],
            shows=[show for show in Show if not (is_blind and show in TELLING_SHOWS)],
            choice=asdict(choice),
        )

    def line_up(self) -> Response:
        said = request_parsing.body()
        reviewer = self._reviewer(said)
        name, queue = self.desk.line_up(request_parsing.choice(said), reviewer)
        return jsonify(name=name, n_calls=len(queue.numbers), is_sample=queue.choice.order is Order.SAMPLE)

    def cards(self, name: str) -> Response:
        begin, count = (
            max(request_parsing.whole("from", 0), 0),
            min(max(request_parsing.whole("count", 1), 0), _CARDS_AT_A_TIME),
        )
        return jsonify(cards=self.desk.cards(self._queue(name), begin, count))

    def progress(self, name: str) -> Response:
        progress = self.desk.progress(self._queue(name), "estimates" in request.args)
        estimates = None if progress.estimates is None else _in_short(progress.estimates)
        reviewers = [] if self.desk.is_blind else self.desk.reviewers
        return jsonify(n_calls=progress.n_calls, counts=progress.counts, estimates=estimates, reviewers=reviewers)

    def next_open(self, name: str) -> Response:
        return jsonify(position=self.desk.next_open(self._queue(name), request_parsing.whole("after", -1)))

    def card(self, number: int) -> Response:
        return jsonify(card=self.desk.card(self._call(number), self._reviewer(request.args)))

    def judge(self) -> Response:
        said = request_parsing.body()
        verdict, number = said.get("verdict"), said.get("number")
        if verdict not in _VERDICTS or type(number) is not int:
            raise UsageError(f"a judgement says yes, no or maybe of a call by its number, not {said!r}")
        return jsonify(card=self.desk.judge(self._call(number), verdict, self._reviewer(said)))

    def take_back(self) -> Response:
        said = request_parsing.body()
        taken = self.desk.take_back(self._reviewer(said), self.desk.queue(str(said.get("queue", ""))))
        identity, card = taken or ("", None)
        return jsonify(detection_id=identity, card=card)

    def finish(self) -> Response:
        request_parsing.body()
        self.end()  # requests that are under way are answered all the same
        return jsonify()

    def picture(self, number: int) -> Response:
        size_px = (
            min(max(request_parsing.whole("width", 480), 16), _LARGEST_PX[0]),
            min(max(request_parsing.whole("height", 192), 16), _LARGEST_PX[1]),
        )
        shown = self.desk.picture(self._call(number), request_parsing.span_s(), request_parsing.band_hz(), *size_px)
        return _framed(shown.png, "image/png", shown.frame.begin_s, shown.frame.end_s)

    def sound(self, number: int) -> Response:
        speed = request_parsing.number("speed", 1.0)
        if not _SPEEDS[0] <= speed <= _SPEEDS[1]:
            raise UsageError(f"sound is played {_SPEEDS[0]:g} to {_SPEEDS[1]:g} times as fast, not {speed:g}")
        sound = self.desk.sound(self._call(number), request_parsing.span_s())
        return _framed(playback.wav_bytes(sound, speed, *request_parsing.band_hz()), "audio/wav", sound.begin_s, sound.end_s)

    def _queue(self, name: str) -> Queue:
        queue = self.desk.queue(name)
        if queue is None:
            abort(404, "this list was set aside for newer ones; choose under Options what to judge")
        return queue

    def _call(self, number: int) -> int:
        if not 0 <= number < len(self.desk.catalog.calls):
            abort(404)
        return number

    def _reviewer(self, said: Mapping[str, Any]) -> str:
        """Who asks: the name that was given to the command stands above that of the page."""
        return self.wishes.reviewer or request_parsing.reviewer(str(said.get("reviewer", "")))


def _framed(content: bytes, kind: str, begin_s: float, end_s: float) -> Response:
    """A picture or a sound, with the seconds of the recording that it holds."""
    return Response(content, content_type=kind, headers={"Whalescan-Span": f"{begin_s:.6f} {end_s:.6f}"})


def _in_short(estimates: Estimates) -> dict[str, Any]:
    """What a page shows of estimates."""
    return {
        "precision": None if estimates.precision is None else asdict(estimates.precision),
        "n_drawn": estimates.n_drawn,
        "n_calls": estimates.n_calls,
        "covered": estimates.covered,
    }
