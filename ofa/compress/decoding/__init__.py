"""What reads .ofaz files: numpy alone, merged into one file for devices by `ofa.compress.decoder_source`."""
