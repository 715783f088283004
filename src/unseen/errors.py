"""What can go wrong, said so that the reader knows what was expected, what came, and what to do next."""

from __future__ import annotations


class UnseenError(Exception):
    """Base of every error that this library raises on purpose."""


class ConceptError(UnseenError, ValueError):
    """A `Concept` was described in a way that cannot be fitted."""


class ConceptWarning(UserWarning):
    """A `Concept` leaves something untouched that its maker may take for erased; the message says what to add."""


class PromptFileError(UnseenError, ValueError):
    """A file of prompt pairs could not be read; the message names the file, the line and what is wrong there."""


class SuiteError(UnseenError, ValueError):
    """A file that describes a comparison could not be read; the message names the file and what is wrong in it."""


class FramesError(UnseenError, ValueError):
    """A video's frames have another shape or type than a detector or metric reads."""


class VideoError(UnseenError, ValueError):
    """A video file or a folder of frames cannot be read to its end.

    `status` is one word or two for tables: "empty", "no video", "damaged", "mixed sizes", "too large", "not a file".
    """

    def __init__(self, status: str, message: str):
        super().__init__(message)
        self.status = status


class StoreError(UnseenError, RuntimeError):
    """What `unseen score` keeps between runs cannot be read or written; the message names the file and what to do."""


class DetectorError(UnseenError, RuntimeError):
    """A detector or metric cannot be loaded; the message says which package or model it needs."""


class EngineError(UnseenError, RuntimeError):
    """Clips cannot be drawn by the engine that was asked for; the message says why and what to do."""


class AppError(UnseenError, ValueError):
    """Something that was entered on the page has to be changed; the message says what."""


class ServeError(UnseenError, RuntimeError):
    """A request cannot be served as it was made, or a server cannot be started so; `status` is HTTP's number for it."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class UnsupportedEncoderError(UnseenError, TypeError):
    """No list of transformer blocks (or more than one) was found in the text encoder, or a weight has no value."""


class LoadError(UnseenError, ValueError):
    """A pipeline could not be found, or was asked for in a way that cannot be met."""


class UnsupportedPipelineError(UnseenError, TypeError):
    """A pipeline has no text encoder that an eraser could work on, or it is not clear which one."""


class FitError(UnseenError, RuntimeError):
    """A fit ended without a usable eraser, for instance because no feature was specific to the concept."""


class FitWarning(UserWarning):
    """A fit ran through, and by its held-out pairs it did not work."""


class WrongEncoderError(UnseenError):
    """An eraser was attached to another text encoder than the one it was fitted on."""


class EraserError(UnseenError, ValueError):
    """An eraser or a fitted baseline holds something that cannot work: a shape, a type, or a number that is not
    finite."""


class DamagedFileError(UnseenError):
    """An eraser on disk is incomplete, was changed after it was written, has an unknown format version, or holds
    something that cannot work."""


class AlreadyAttachedError(UnseenError):
    """The pipeline carries erasers already. Detach them first, or attach all erasers in one call."""


class AuditError(UnseenError, OSError):
    """The audit log cannot be written; what would have been generated without it is not."""


class EraserBypassedError(UnseenError):
    """The pipeline was about to use prompt embeddings that the attached erasers have not seen."""


class GuidanceNeededError(UnseenError, ValueError):
    """A method that works through the negative prompt or through guidance was run without guidance."""


class UnguardedInputError(UnseenError):
    """The pipeline has an input that the erasers do not guard: an image, a video, or another text encoder."""


class NonFiniteError(UnseenError, RuntimeError):
    """Hidden states of the text encoder are not finite, so that nothing can be read from them or edited in them."""


class StaleCopyError(UnseenError):
    """A copy of a pipeline that was made while erasers were attached is used after they were detached."""


class PromptTooLongError(UnseenError, ValueError):
    """Finding out which words of a prompt mean a concept would take more questions than allowed."""


class ResidualConceptError(UnseenError, ValueError):
    """A prompt leads to an erased concept past the erasers, and the caller wants such prompts refused."""
