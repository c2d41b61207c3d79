"""Diagnosis in the store: evidence collected over SSH, masked before it is stored."""
