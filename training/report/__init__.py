"""Write the report and the model card."""
