from .clear.config import ClearConfig as ClearConfig
from .clear.eraser import ClearEraser as ClearEraser
from .clear.fit import fit as fit
from .clear.many import fit_many as fit_many
from .concept import Concept as Concept
from .concept import PromptPair as PromptPair
from .concept import load_pairs as load_pairs
from .errors import AlreadyAttachedError as AlreadyAttachedError
from .errors import ConceptError as ConceptError
from .errors import ConceptWarning as ConceptWarning
from .errors import DamagedFileError as DamagedFileError
from .errors import EraserBypassedError as EraserBypassedError
from .errors import EraserError as EraserError
from .errors import FitError as FitError
from .errors import FitWarning as FitWarning
from .errors import GuidanceNeededError as GuidanceNeededError
from .errors import LoadError as LoadError
from .errors import NonFiniteError as NonFiniteError
from .errors import PromptFileError as PromptFileError
from .errors import StaleCopyError as StaleCopyError
from .errors import UnguardedInputError as UnguardedInputError
from .errors import UnseenError as UnseenError
from .errors import UnsupportedEncoderError as UnsupportedEncoderError
from .errors import UnsupportedPipelineError as UnsupportedPipelineError
from .errors import WrongEncoderError as WrongEncoderError
from .pipelines import load as load
from .pipelines import text_encoders as text_encoders
from .runtime.attach import attach as attach
from .runtime.attach import guard_encoder as guard_encoder
from .runtime.embeddings import Embeddings as Embeddings
from .runtime.handle import Firing as Firing
from .runtime.handle import Handle as Handle
from .runtime.handle import Status as Status

__version__: str
_PUBLIC: dict[str, tuple[str, ...]]
