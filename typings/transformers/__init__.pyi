"""What pyright reads in place of the index of transformers, through which it would read every architecture.

A name that is imported from ``transformers`` itself stands here with the module that defines it.
"""

from transformers.cache_utils import DynamicCache as DynamicCache
from transformers.configuration_utils import PreTrainedConfig as PreTrainedConfig
from transformers.masking_utils import AttentionMaskInterface as AttentionMaskInterface
from transformers.modeling_utils import (
    AttentionInterface as AttentionInterface,
)
from transformers.modeling_utils import (
    PreTrainedModel as PreTrainedModel,
)
from transformers.models.auto.configuration_auto import AutoConfig as AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM as AutoModelForCausalLM
from transformers.models.auto.modeling_auto import AutoModelForImageTextToText as AutoModelForImageTextToText
from transformers.models.auto.tokenization_auto import AutoTokenizer as AutoTokenizer
from transformers.models.bloom.configuration_bloom import BloomConfig as BloomConfig
from transformers.models.bloom.modeling_bloom import BloomForCausalLM as BloomForCausalLM
from transformers.models.byt5.tokenization_byt5 import ByT5Tokenizer as ByT5Tokenizer
from transformers.models.clip.configuration_clip import CLIPVisionConfig as CLIPVisionConfig
from transformers.models.gemma3.configuration_gemma3 import (
    Gemma3Config as Gemma3Config,
)
from transformers.models.gemma3.configuration_gemma3 import (
    Gemma3TextConfig as Gemma3TextConfig,
)
from transformers.models.gemma3.modeling_gemma3 import (
    Gemma3ForConditionalGeneration as Gemma3ForConditionalGeneration,
)
from transformers.models.gpt2.configuration_gpt2 import GPT2Config as GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel as GPT2LMHeadModel
from transformers.models.gpt_neo.configuration_gpt_neo import GPTNeoConfig as GPTNeoConfig
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoForCausalLM as GPTNeoForCausalLM
from transformers.models.llama.configuration_llama import LlamaConfig as LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM as LlamaForCausalLM
from transformers.models.llava.configuration_llava import LlavaConfig as LlavaConfig
from transformers.models.llava.modeling_llava import (
    LlavaForConditionalGeneration as LlavaForConditionalGeneration,
)
from transformers.models.mamba.configuration_mamba import MambaConfig as MambaConfig
from transformers.models.mamba.modeling_mamba import MambaForCausalLM as MambaForCausalLM
from transformers.models.mixtral.configuration_mixtral import MixtralConfig as MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralForCausalLM as MixtralForCausalLM
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLConfig as Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VLForConditionalGeneration as Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config as Qwen3Config
from transformers.models.siglip.configuration_siglip import SiglipVisionConfig as SiglipVisionConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase as PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast as PreTrainedTokenizerFast
from transformers.utils.quantization_config import BitsAndBytesConfig as BitsAndBytesConfig

__version__: str
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLConfig as Qwen3VLConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLForConditionalGeneration as Qwen3VLForConditionalGeneration,
)
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMConfig as SmolVLMConfig
from transformers.models.smolvlm.modeling_smolvlm import (
    SmolVLMForConditionalGeneration as SmolVLMForConditionalGeneration,
)
