"""How architectures differ: where logits come from, how much context there is; and computing in float32."""
