"""What one supernet's subnets are worth beside the same networks trained alone: problems, recipes, runs and tables."""
