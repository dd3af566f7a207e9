"""How a model is written down: config.json, safetensors, GGUF, shorthand."""
