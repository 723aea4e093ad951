"""Many runs side by side: what each is worth among the others, and what to do next."""
