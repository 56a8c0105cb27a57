"""HTTP routes of the review page: JSON, PNG and WAV responses, and the parsing of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from whalescan.audio import excerpts
from whalescan.core import RecordingError, UsageError, WhalescanError
from whalescan.detections.precision_estimates import SurveyEstimate
from whalescan.review.page.queues import (
    FILTERS_BY_REVIEW,
    ORDERS_BY_SCORE,
    QueueOptions,
    QueueOrder,
    ReviewFilter,
    ReviewQueue,
)
from whalescan.review.page.security import TRUSTED_HOSTS, RequestGuard, add_security_headers
from whalescan.review.page.session import ReviewSession, check_reviewer_name

_REVIEWS = ("yes", "no", "maybe")
_CONTENT_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_LARGEST_REQUEST_BYTES = 1 << 16
_LARGEST_IMAGE_PX = (1600, 800)
_LARGEST_ITEM_COUNT = 50
_SPEED_RANGE = (0.5, 16.0)
_LONGEST_SPAN_S = 120.0
_LARGEST_NUMBER = 1e12


@dataclass(frozen=True, slots=True)
class ReviewDefaults:
    """Settings given where the review was started; the page can change the queue options.

    Attributes:
        reviewer: name of the reviewer; empty where the page asks for it.
        queue_options: options of the first queue.
    """

    reviewer: str = ""
    queue_options: QueueOptions = field(default_factory=QueueOptions)


def make_app(session: ReviewSession, defaults: ReviewDefaults, guard: RequestGuard, finish: Callable[[], None]) -> Flask:
    """Create the Flask application of the page.

    Args:
        session: the run under review.
        defaults: initial reviewer and queue options.
        guard: checks of every request.
        finish: called when somebody presses Finish.
    """
    app = Flask("whalescan.review", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_REQUEST_BYTES
    app.config["TRUSTED_HOSTS"] = TRUSTED_HOSTS
    app.after_request(add_security_headers)

    @app.before_request
    def check_request() -> tuple[Response, int] | None:
        rejection = guard.rejection(request)
        return None if rejection is None else (jsonify(error=rejection[1]), rejection[0])

    @app.errorhandler(WhalescanError)
    def report_error(error: WhalescanError) -> tuple[Response, int]:
        status = 400 if isinstance(error, UsageError) else 409 if isinstance(error, RecordingError) else 500
        return jsonify(error=str(error)), status

    @app.errorhandler(HTTPException)
    def report_http_error(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description or error.name), error.code or 500

    _add_static_files(app, guard)
    _add_routes(app, guard, _Routes(session, defaults, finish))
    return app


def _add_static_files(app: Flask, guard: RequestGuard) -> None:
    """Add one route for each file of the page; no other path reaches the file system."""
    for file in resources.files("whalescan.review.page").joinpath("static").iterdir():
        respond: Callable[[], Response] = _static_response(file.read_bytes(), _CONTENT_TYPES[file.name.rpartition(".")[2]])
        path = "" if file.name == "review.html" else file.name
        app.add_url_rule(f"/{guard.token}/{path}", file.name, respond)


def _static_response(content: bytes, content_type: str) -> Callable[[], Response]:
    return lambda: Response(content, content_type=f"{content_type}; charset=utf-8")


def _add_routes(app: Flask, guard: RequestGuard, routes: _Routes) -> None:
    get_routes: dict[str, Callable[..., Response]] = {
        "survey": routes.survey,
        "queues/<name>": routes.items,
        "queues/<name>/progress": routes.progress,
        "queues/<name>/next-unreviewed": routes.next_unreviewed,
        "detections/<int:index>": routes.item,
        "detections/<int:index>/spectrogram": routes.spectrogram,
        "detections/<int:index>/audio": routes.audio,
    }
    for path, get_route in get_routes.items():
        app.add_url_rule(f"/{guard.token}/{path}", path, get_route)
    post_routes: dict[str, Callable[[], Response]] = {
        "queues": routes.create_queue,
        "reviews": routes.validate,
        "undo": routes.undo,
        "finish": routes.finish,
    }
    for path, post_route in post_routes.items():
        app.add_url_rule(f"/{guard.token}/{path}", f"post {path}", post_route, methods=["POST"])


@dataclass(frozen=True)
class _Routes:
    """Responses of the page's routes, one method each."""

    session: ReviewSession
    defaults: ReviewDefaults
    end_review: Callable[[], None]

    def survey(self) -> Response:
        session, is_blind = self.session, self.session.is_blind
        return jsonify(
            title=session.run.output.absolute().name,
            n_detections=len(session.detections.detections),
            labels=session.detections.labels,
            threshold=None if is_blind else session.detections.threshold,
            rate_hz=session.run.record.rate_hz,
            is_blind=is_blind,
            reviewer=self.defaults.reviewer,
            reviewers=[] if is_blind else session.reviewers,
            orders=[order for order in QueueOrder if not (is_blind and order in ORDERS_BY_SCORE)],
            review_filters=[choice for choice in ReviewFilter if not (is_blind and choice in FILTERS_BY_REVIEW)],
            queue_options=asdict(self.defaults.queue_options),
        )

    def create_queue(self) -> Response:
        body = _json_body()
        name, queue = self.session.create_queue(_queue_options(body), self._reviewer(body))
        is_sample = queue.options.order is QueueOrder.SAMPLE
        return jsonify(name=name, n_detections=len(queue.indices), is_sample=is_sample)

    def items(self, name: str) -> Response:
        begin = max(_integer_argument("from", 0), 0)
        count = min(max(_integer_argument("count", 1), 0), _LARGEST_ITEM_COUNT)
        return jsonify(items=self.session.items(self._queue(name), begin, count))

    def progress(self, name: str) -> Response:
        progress = self.session.progress(self._queue(name), "estimate" in request.args)
        estimate = None if progress.estimate is None else _estimate_json(progress.estimate)
        reviewers = [] if self.session.is_blind else self.session.reviewers
        return jsonify(n_detections=progress.n_detections, counts=progress.counts, estimate=estimate, reviewers=reviewers)

    def next_unreviewed(self, name: str) -> Response:
        return jsonify(position=self.session.next_unreviewed(self._queue(name), _integer_argument("after", -1)))

    def item(self, index: int) -> Response:
        return jsonify(item=self.session.item(self._checked(index), self._reviewer(request.args)))

    def validate(self) -> Response:
        body = _json_body()
        review, index = body.get("review"), body.get("index")
        if review not in _REVIEWS or type(index) is not int:
            raise UsageError(f"invalid review {body!r}: expected a review (yes, no or maybe) and the index of a detection")
        return jsonify(item=self.session.validate(self._checked(index), review, self._reviewer(body)))

    def undo(self) -> Response:
        body = _json_body()
        undone = self.session.undo(self._reviewer(body), self.session.queue(str(body.get("queue", ""))))
        detection_id, item = undone or (None, None)
        return jsonify(detection_id=detection_id, item=item)

    def finish(self) -> Response:
        _json_body()
        self.end_review()  # requests in progress are still answered
        return jsonify()

    def spectrogram(self, index: int) -> Response:
        size_px = (
            min(max(_integer_argument("width", 480), 16), _LARGEST_IMAGE_PX[0]),
            min(max(_integer_argument("height", 192), 16), _LARGEST_IMAGE_PX[1]),
        )
        image = self.session.spectrogram(self._checked(index), _span_argument_s(), _band_argument_hz(), *size_px)
        return _response_with_span(image.png, "image/png", image.extent.begin_s, image.extent.end_s)

    def audio(self, index: int) -> Response:
        speed = _number_argument("speed", 1.0)
        if not _SPEED_RANGE[0] <= speed <= _SPEED_RANGE[1]:
            raise UsageError(f"invalid speed {speed:g}: expected {_SPEED_RANGE[0]:g} to {_SPEED_RANGE[1]:g}")
        excerpt = self.session.excerpt(self._checked(index), _span_argument_s())
        wav = excerpts.playback_wav(excerpt, speed, *_band_argument_hz())
        return _response_with_span(wav, "audio/wav", excerpt.begin_s, excerpt.end_s)

    def _queue(self, name: str) -> ReviewQueue:
        queue = self.session.queue(name)
        if queue is None:
            abort(404, "this queue was replaced by newer ones; choose the detections again under Options")
        return queue

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self.session.detections.detections):
            abort(404)
        return index

    def _reviewer(self, values: Mapping[str, Any]) -> str:
        """Return the reviewer's name: the one given at the start, else the one in the request."""
        return self.defaults.reviewer or check_reviewer_name(str(values.get("reviewer", "")))


def _response_with_span(content: bytes, content_type: str, begin_s: float, end_s: float) -> Response:
    """Return an image or audio with the span that it covers, in seconds from the recording's first sample."""
    return Response(content, content_type=content_type, headers={"Whalescan-Span": f"{begin_s:.6f} {end_s:.6f}"})


def _estimate_json(estimate: SurveyEstimate) -> dict[str, Any]:
    """Return the part of a precision estimate that the page shows."""
    return {
        "precision": None if estimate.precision is None else asdict(estimate.precision),
        "n_sampled": estimate.n_sampled,
        "n_detections": estimate.n_detections,
        "covered_share": estimate.covered_share,
    }


def _json_body() -> dict[str, Any]:
    """Return the JSON object in the request's body.

    Raises:
        UsageError: like all of the parsers below, when the value is invalid.
    """
    body = request.get_json()
    if not isinstance(body, dict):
        raise UsageError(f"invalid request {body!r}: expected a JSON object")
    return body


def _queue_options(body: Mapping[str, Any]) -> QueueOptions:
    lowest_score, highest_score, sample_size, reviewed_by = (
        body.get(name) for name in ("lowest_score", "highest_score", "sample_size", "reviewed_by")
    )
    try:
        return QueueOptions(
            order=QueueOrder(body.get("order", QueueOrder.RECORDING)),
            review_filter=ReviewFilter(body.get("review_filter", ReviewFilter.UNREVIEWED)),
            lowest_score=None if lowest_score is None else float(lowest_score),
            highest_score=None if highest_score is None else float(highest_score),
            recording=str(body.get("recording", "")),
            label=str(body.get("label", "")),
            reviewed_by=None if reviewed_by is None else str(reviewed_by),
            sample_size=None if sample_size is None else max(int(sample_size), 1),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"invalid queue options ({error})") from error


def _number_argument(name: str, default: float) -> float:
    try:
        value = float(request.args.get(name, default))
    except ValueError as error:
        raise UsageError(f"invalid {name}: expected a number ({error})") from error
    if not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:  # NaN included
        raise UsageError(f"invalid {name} {value}: expected a finite number")
    return value


def _integer_argument(name: str, default: int) -> int:
    return int(_number_argument(name, default))


def _span_argument_s() -> tuple[float, float]:
    """Return the requested span, in seconds from the recording's first sample."""
    begin_s, end_s = _number_argument("begin", 0.0), _number_argument("end", 0.0)
    if not 0 < end_s - begin_s <= _LONGEST_SPAN_S:
        raise UsageError(f"invalid span {begin_s:g} to {end_s:g} s: expected a length of up to {_LONGEST_SPAN_S:g} s")
    return begin_s, end_s


def _band_argument_hz() -> tuple[int, int]:
    """Return the requested band in whole hertz, the narrowest that filters and images resolve."""
    low_hz, high_hz = _integer_argument("low", 0), _integer_argument("high", 1_000_000)
    if not 0 <= low_hz < high_hz:
        raise UsageError(f"invalid band {low_hz} to {high_hz} Hz: expected 0 <= low < high")
    return low_hz, high_hz
