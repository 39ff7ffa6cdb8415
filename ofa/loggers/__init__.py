"""Loggers: where the rows of a training, a search or a pruning go besides the run's own files."""

from ofa.loggers.csv_file import CsvLogger
from ofa.loggers.logger import Logger, flat, tolerant
from ofa.loggers.mlflow_store import MlflowLogger
from ofa.loggers.tensorboard_events import TensorBoardLogger
from ofa.loggers.wandb_run import WandbLogger

__all__ = ["CsvLogger", "Logger", "MlflowLogger", "TensorBoardLogger", "WandbLogger", "flat", "tolerant"]
