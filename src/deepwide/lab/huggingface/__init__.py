"""Models to and from Hugging Face's folders: config.json, model.safetensors, tokenizer.json.

The formats are those of Llama (with Mistral, Qwen 2 and Qwen 3, whose tensors are called alike), GPT-2, BERT with its
masked-language head, and T5. Nothing here imports transformers: the formats are names and shapes.
"""

from deepwide.lab.huggingface.reading import read
from deepwide.lab.huggingface.writing import write

__all__ = ["read", "write"]
