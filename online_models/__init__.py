"""What is learnt per event: River estimators, and the state each keeps."""
