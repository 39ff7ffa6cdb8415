"""Data sets as three splits of images, batches as functions of (seed, epoch, step), and augmentation."""

from ofa.data._shapes import shapes
from ofa.data.array_files import from_npz
from ofa.data.array_sets import from_arrays
from ofa.data.augmenting import Augment, JointAugment
from ofa.data.batch_source import BatchSource
from ofa.data.batching import batches, shared_batches, steps_per_epoch
from ofa.data.bundled import digits
from ofa.data.clutter import cluttered_digits
from ofa.data.dataset import Dataset, PixelSource, Preprocessing, Split
from ofa.data.generated import synthetic
from ofa.data.in_memory import from_tensors
from ofa.data.iterable_sets import from_iterables
from ofa.data.loading import hub
from ofa.data.long_tail import imbalanced_digits
from ofa.data.map_style_sets import from_dataset
from ofa.data.several_inputs import from_inputs
from ofa.data.signals import generated_signals, sounds
from ofa.data.stream_sets import stream
from ofa.data.table_sets import bundled_table, table
from ofa.data.text import generated_text
from ofa.data.text_blocks import characters, from_text, text_files

__all__ = [
    "Augment",
    "BatchSource",
    "Dataset",
    "JointAugment",
    "PixelSource",
    "Preprocessing",
    "Split",
    "batches",
    "bundled_table",
    "characters",
    "cluttered_digits",
    "digits",
    "from_arrays",
    "from_dataset",
    "from_inputs",
    "from_iterables",
    "from_npz",
    "from_tensors",
    "from_text",
    "generated_signals",
    "generated_text",
    "hub",
    "imbalanced_digits",
    "shapes",
    "shared_batches",
    "sounds",
    "steps_per_epoch",
    "stream",
    "synthetic",
    "table",
    "text_files",
]
