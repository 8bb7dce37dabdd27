/* wenqu: AI search over your own content, in your own process.
 *
 * Conventions
 *  1. Functions return a wq_status: WQ_OK or a negative code. Nothing here exits, prints, throws, installs
 *     a signal handler, or changes the locale, the umask, the working directory or the floating point mode.
 *     Nothing here aborts either; only where memory has run out, the C++ runtime or a library below may.
 *     Threads of the library have all signals blocked, also in the callbacks they call, but for those of a
 *     thread's own faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS): the others are the host's.
 *  2. Out-parameters come last. On failure they are set to NULL or 0, a descriptor to -1.
 *  3. Strings are UTF-8. Those passed in are copied before the call returns; where a length is asked
 *     for, it is in bytes, and WQ_NUL_TERMINATED stands for "up to the NUL". Those given out as
 *     wq_string* belong to the caller, who frees them with wq_string_free; pointers handed to a
 *     callback are valid during the callback only.
 *  4. Option structs begin with struct_size and are set up by their WQ_..._INIT macro or wq_..._init
 *     function. Fields are only ever appended, so programs built against an older header go on
 *     working. A field of 0 or NULL means the default. One that a later header has and this library does
 *     not know must be 0 or NULL: else WQ_E_UNSUPPORTED.
 *  5. Handles are opaque; the function that frees each is named at its type. Freeing NULL does
 *     nothing.
 *  6. [any thread] functions may be called by any number of threads at once. [owner] functions must
 *     not run at the same time as another function on the same handle.
 *  7. Events are JSON objects, the same as on the websocket and from `wenqu ask --json`; their schema
 *     is in docs/protocol.md.
 *  8. A process that forks must not use handles from before the fork in the child.
 */
#ifndef WENQU_WENQU_H
#define WENQU_WENQU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WQ_API __attribute__((visibility("default")))
#else
#define WQ_API
#endif

#define WQ_VERSION_MAJOR 0
#define WQ_VERSION_MINOR 1
#define WQ_VERSION_PATCH 0

#define WQ_NUL_TERMINATED ((size_t)-1)

/* ------------------------------------------------------------------ status */

typedef int32_t wq_status;

#define WQ_OK 0
#define WQ_E_INVALID_ARGUMENT (-1)  /* something unusable was passed */
#define WQ_E_NOT_FOUND (-2)
#define WQ_E_UNSUPPORTED (-3)       /* well formed, but this build cannot do it */
#define WQ_E_CORRUPT (-4)           /* data breaks its own format or checksum */
#define WQ_E_IO (-5)                /* the operating system refused */
#define WQ_E_OUT_OF_MEMORY (-6)
#define WQ_E_BUSY (-7)              /* in use by somebody else: try again later */
#define WQ_E_CANCELLED (-8)
#define WQ_E_DEADLINE_EXCEEDED (-9)
#define WQ_E_LIMIT_EXCEEDED (-10)   /* too large, too many or too deep */
#define WQ_E_VERSION_MISMATCH (-11) /* written by another version */
#define WQ_E_INTERNAL (-12)         /* a defect in wenqu */
#define WQ_E_STRUCT_SIZE (-13)      /* struct_size is no size of the struct in any version */
#define WQ_E_REENTRANT (-14)        /* not allowed from inside a callback */
#define WQ_E_TIMEOUT (-15)          /* nothing happened within the given time */
#define WQ_E_END_OF_STREAM (-16)    /* there will be no further event */

/* The stable name of a code, such as "invalid_argument". Static. [any thread] */
WQ_API const char* wq_status_name(wq_status status);

/* What went wrong in this thread's last call that failed: what, where, how to mend. Empty when none
 * did. Valid UTF-8, less than 4 KiB: longer names and paths are cut. Valid until the thread's next failing
 * call. [any thread] */
WQ_API const char* wq_last_error(void);

/* ----------------------------------------------------------------- version */

/* Of the library at run time: major * 1000000 + minor * 1000 + patch. [any thread] */
WQ_API uint32_t wq_version_number(void);
/* "0.1.0". Static. [any thread] */
WQ_API const char* wq_version_string(void);
/* 1 when the library has the feature ("engine", "retrieval"), or can use it on this machine ("cuda"), else 0. [any thread] */
WQ_API int32_t wq_has(const char* feature);

/* ----------------------------------------------------------------- strings */

typedef struct wq_string wq_string; /* freed by wq_string_free */

/* The bytes, NUL-terminated; valid until wq_string_free. NULL for NULL. [any thread] */
WQ_API const char* wq_string_data(const wq_string* string);
WQ_API size_t wq_string_length(const wq_string* string);
WQ_API void wq_string_free(wq_string* string);

/* ----------------------------------------------------------- search models */

/* Turns texts into vectors that lie close where texts mean alike: `vectors` has room for count * dimensions
 * numbers, one text's after the other's; their length does not matter. `is_query`: 1 for a question, 0 for
 * passages. Return 0; anything else fails what asked for it with WQ_E_CANCELLED. Called from any thread, from
 * several at once when several searches run, and with a lock of the index held while documents are added: it
 * must not call back into that index. */
typedef int32_t (*wq_embed_callback)(const char* const* texts, const size_t* lengths, size_t count, int32_t is_query,
                                     float* vectors, void* user);

/* Scores how well each text answers the query, higher is better. Called as wq_embed_callback, by searches. */
typedef int32_t (*wq_rerank_callback)(const char* query, size_t query_length, const char* const* texts,
                                      const size_t* lengths, size_t count, float* scores, void* user);

/* What searches may use besides words; all of it may be left out. An index that was written with an embedding
 * model is searched by vectors too when it is opened with the same one. The callbacks and `user` must live until
 * the handle is closed and, of an assistant, all its requests are freed: those go on after wq_assistant_close. */
typedef struct wq_search_models {
  uint32_t struct_size;
  int32_t threads;               /* compute threads of each model; 0: one per core */
  const char* embed_path;        /* a GGUF file of an embedding model (bert, qwen3 ...); NULL: none */
  const char* rerank_path;       /* a GGUF file of a cross-encoder or of a generative model; it may be the model that
                                  * answers, which is not loaded twice then; NULL: none */
  const char* query_prefix;      /* goes before questions; NULL: as the model's makers have it, where known */
  const char* passage_prefix;    /* goes before passages; NULL: the same */
  wq_embed_callback on_embed;    /* instead of embed_path; NULL: none */
  wq_rerank_callback on_rerank;  /* instead of rerank_path; NULL: none */
  void* user;                    /* given to both */
  const char* embed_identity;    /* with on_embed: tells its model from others, at most 256 bytes */
  uint32_t embed_dimensions;     /* with on_embed: numbers of a vector */
  int32_t embed_again;           /* 1: an index opened for writing has all its vectors made anew */
} wq_search_models;

#define WQ_SEARCH_MODELS_INIT \
  { (uint32_t)sizeof(wq_search_models), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0 }

WQ_API wq_status wq_search_models_init(wq_search_models* models, uint32_t struct_size);

/* ------------------------------------------------------------------- index */

/* A collection of documents on disk, open for writing: one writer at a time over all processes, while
 * readers (wq_assistant) go on. Freed by wq_index_close. */
typedef struct wq_index wq_index;

/* Opens or creates the index in a directory. WQ_E_BUSY while another writer has it. A relative path is that of the
 * working directory now: a later chdir() changes nothing. `directory` may be the address of an
 * index in an OpenSearch or Elasticsearch cluster, "https://user@host:9200/name"; credentials then come from the
 * environment (docs/remote.md). [any thread] */
WQ_API wq_status wq_index_open(const char* directory, wq_index** out);

/* The same with models: passages get vectors, and those of the index that have none too, with the next commit.
 * `models` may be NULL. WQ_E_VERSION_MISMATCH when another model made the vectors there are. [any thread] */
WQ_API wq_status wq_index_open_with_models(const char* directory, const wq_search_models* models, wq_index** out);

/* Adds one document, replacing the one of the same id:
 *   {"id": "...", "text": "...", "title": "...", "url": "...", "author": "...",
 *    "source": "official_account|video|web|chat|file", "published_at": "2026-03-01",
 *    "attributes": {...}, "acl": ["user or group that may find it", ...],
 *    "marks": [{"begin": 120, "kind": "time", "number": 61000}]}
 * Without `acl` everybody may. `id` and `text` are needed. A mark says where the text from code point
 * `begin` on stands in the original (page, time in milliseconds, section, row); citations tell it.
 * "passages": ["...", "..."] in place of `text` gives a text that is cut already: each is searched, shown and cited as it is.
 * Searches find it after wq_index_commit. After an error this document is not added, and all else stays as it was;
 * where changes were lost (see wq_index_commit), the error of that. [any thread] */
WQ_API wq_status wq_index_add_json(wq_index* index, const char* json, size_t length);

/* Adds a file, or every file under a folder: .jsonl .txt .md .html .pdf .docx .epub .csv
 * .tsv .eml .srt .vtt (docs/documents.md). `source` (NULL: "file") is for
 * documents that name none. For .pdf, pdftotext and pdfinfo are started, as PATH finds them; they get no
 * other part of the environment and no descriptor of the host's but the file's. What cannot be read is
 * passed over and counted as a problem; with WQ_OK and problems > 0 wq_last_error tells the first. After an error as of wq_index_add_json the document that
 * met it is not added, those before it are (wq_last_error tells how many), and the rest is not read. `documents` and
 * `problems` may be NULL.
 * [any thread] */
WQ_API wq_status wq_index_add_path(wq_index* index, const char* path, const char* source,
                                   uint64_t* documents, uint64_t* problems);

/* Removes a document; one that is not there is no error. After an error it stays, and so does all else.
 * [any thread] */
WQ_API wq_status wq_index_remove(wq_index* index, const char* id, size_t length);

/* Makes what was added and removed durable and visible. After WQ_OK it survives the death of the
 * process and of the machine. After an error the previous commit is as it was, and what was added and
 * removed since is kept: call again, and it is committed (no space, too many open files, a model that
 * refused). Only where it cannot be known any more what was written, it is lost; then this function, adding
 * and removing all fail, with the same error, of how many documents since which commit, until the handle is
 * closed and the index opened again. So WQ_OK never follows on a loss. (Of an index in a cluster,
 * docs/remote.md tells what a failure leaves.) [any thread] */
WQ_API wq_status wq_index_commit(wq_index* index);

/* Documents in the last commit. [any thread] */
WQ_API wq_status wq_index_count(wq_index* index, uint64_t* documents);

/* Frees the handle. What was not committed is lost. [owner] */
WQ_API void wq_index_close(wq_index* index);

/* --------------------------------------------------------------- assistant */

/* An index and, if there is one, a model, ready for questions. Freed by wq_assistant_close. */
typedef struct wq_assistant wq_assistant;

/* Called with 0 first and 1 last while a model loads, on the calling thread. Non-zero stops the
 * loading with WQ_E_CANCELLED. */
typedef int32_t (*wq_load_progress)(double fraction, void* user);

typedef struct wq_assistant_options {
  uint32_t struct_size;
  int32_t threads;              /* compute threads; 0: one per core */
  const char* index_directory;  /* needed; or the address of a cluster's index, see wq_index_open */
  const char* model_path;       /* a GGUF file; NULL: answers are extracted from the sources. It stays mapped
                                   unless repacked: who replaces it writes another file and renames it.
                                   One that is cut short in place ends the process (SIGBUS) */
  uint64_t memory_budget;       /* bytes for the model and all requests' caches; 0: what the
                                   system has free. A mixture of experts that is larger keeps those
                                   used most and reads the others on demand */
  const char* chat_template;    /* a template's name; NULL: as the model says */
  wq_load_progress on_progress; /* NULL: none */
  void* user;                   /* given to on_progress */
  const char* kv_type;          /* how the KV cache keeps numbers: "f32", "f16", "bf16", "q8_0" or "fp8"; NULL: "f16" */
  uint32_t deterministic;       /* 1: the model's figures are the same to the last bit however a prompt
                                   was divided (slower prefill of MLA models); 0: off */
  int32_t nice;                 /* how far the compute threads step back for the machine's other work: 0 (not
                                   at all) to 19, as nice(1) counts */
  int32_t draft_tokens;         /* where an answer repeats its sources, so many tokens are read ahead at
                                   most, 1 to 7, when that is faster; the answer stays the same. 0: the
                                   default, 7; -1: none */
  const wq_search_models* models; /* what searches use besides words; NULL: nothing. Copied */
  const char* device;           /* what runs the model: "cpu", "cuda" (an NVIDIA GPU; memory_budget counts its
                                   memory then), "cuda:1" ..., several as "cuda:0,1", "cuda:all" (memory_budget is
                                   for each), "auto"; NULL: "cpu" */
  int32_t gpu_layers;           /* so many of the model's last layers are computed on GPUs, the others on the CPU;
                                   0: all, or as many as fit; -1: none */
  int32_t cpu_experts;          /* on GPUs, the routed experts of so many layers of a mixture stay with the CPU; 0: of
                                   as few as must; -1: of none */
  uint32_t repack;              /* 1: where the CPU runs the model, its weights are copied into memory of this process,
                                   arranged for the processor: loading takes longer, answers come faster and stay
                                   the same, and the system cannot take this memory back. 2: the same where the
                                   copy takes half at most of memory_budget or else of what the system has
                                   free. 0: they stay in the mapped file */
  uint32_t reserved;            /* not looked at: older callers left these bytes as they were */
} wq_assistant_options;

#define WQ_ASSISTANT_OPTIONS_INIT \
  { (uint32_t)sizeof(wq_assistant_options), 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }

/* For languages without the macro: zeroes `struct_size` bytes and sets the field. [any thread] */
WQ_API wq_status wq_assistant_options_init(wq_assistant_options* options, uint32_t struct_size);

/* Opens the index for reading and loads the model: may take long, so not on a main loop.
 * [any thread] */
WQ_API wq_status wq_assistant_open(const wq_assistant_options* options, wq_assistant** out);

/* Makes the index's newest commit the one that is searched. [any thread] */
WQ_API wq_status wq_assistant_refresh(wq_assistant* assistant);

/* Searches without answering: {"object":"wenqu.search","total":n,"results":[...]}, copies among them. `top`: hits
 * wanted; 0: 10. [any thread] */
WQ_API wq_status wq_search(wq_assistant* assistant, const char* query, size_t length, uint32_t top,
                           wq_string** out);

typedef struct wq_search_options {
  uint32_t struct_size;
  uint32_t top;                 /* hits wanted; 0: 10 */
  const char* query;            /* needed; 64 KiB at most */
  size_t query_length;          /* 0 or WQ_NUL_TERMINATED: up to the NUL */
  uint32_t offset;              /* hits to pass over before, for further pages; with top at most 10,000 */
  int32_t all_copies;           /* 1: also what says again what a better hit of another document says; 0: these are named
                                   under that one's "copies" */
  const char* filter_json;      /* which documents may be found, NULL: all; as of wq_ask_options */
} wq_search_options;

#define WQ_SEARCH_OPTIONS_INIT { (uint32_t)sizeof(wq_search_options), 0, NULL, 0, 0, 0, NULL }

WQ_API wq_status wq_search_options_init(wq_search_options* options, uint32_t struct_size);

/* wq_search with further pages and with a filter. [any thread] */
WQ_API wq_status wq_search_with_options(wq_assistant* assistant, const wq_search_options* options, wq_string** out);

/* Frees the handle. Requests still running keep what they need and go on; callbacks of wq_search_models may be
 * called until they are freed. [owner] */
WQ_API void wq_assistant_close(wq_assistant* assistant);

/* ---------------------------------------------------------------- requests */

/* One question, answered on a thread of its own. Freed by wq_request_free. */
typedef struct wq_request wq_request;

#define WQ_MODE_QUICK 0 /* one search, a short answer */
#define WQ_MODE_DEEP 1  /* searches again from what it learned, thinks, then answers */

/* One event: a JSON object of `length` bytes, NUL-terminated, valid during the call. Events come in
 * order, one at a time, on the request's own thread, with no lock of wenqu's held; a slow callback
 * slows the answer. Return 0 to go on, anything else to cancel: the final event comes all the same. */
typedef int32_t (*wq_event_callback)(const char* json, size_t length, void* user);

typedef struct wq_ask_options {
  uint32_t struct_size;
  int32_t mode;                 /* WQ_MODE_QUICK or WQ_MODE_DEEP */
  const char* question;         /* needed; 1 byte to 16 KiB */
  size_t question_length;       /* 0 or WQ_NUL_TERMINATED: up to the NUL */
  uint32_t passages;            /* evidence for the answer; 0: the mode's default */
  uint32_t max_rounds;          /* searches; 0: the mode's default */
  uint32_t max_thinking_tokens; /* 0: the default, 2048 */
  uint32_t max_answer_tokens;   /* 0: the default, 1024 */
  double time_limit_seconds;    /* 0: none */
  uint64_t seed;                /* of the sampling; 0: a new one each time */
  int32_t report_progress;      /* 1: wenqu.progress events too */
  int32_t reserved;             /* must be 0 */
  wq_event_callback on_event;   /* NULL: the events are pulled with wq_request_next */
  void* user;                   /* given to on_event and destroy */
  void (*destroy)(void* user);  /* called once, after the last on_event; may be NULL. Not called
                                   when wq_ask fails */
  const char* filter_json;      /* which documents may be used, NULL: all. An object with any of "sources",
                                   "published_from", "published_until", "attributes", "principals",
                                   as docs/protocol.md has them under "wenqu" */
  const char* previous_response_id; /* the question goes on from this response, whose id its events told: "and on
                                   Saturdays?". An assistant keeps its last responses in memory (32 MiB of them);
                                   of others, and of those asked with other principals, wq_ask gives
                                   WQ_E_NOT_FOUND. NULL: a conversation begins */
  const char* history_json;     /* what was said before (after that response), where the host keeps it itself: messages,
                                   oldest first, [{"role":"user","content":"..."},{"role":"assistant","content":
                                   "..."}], 256 KiB of text at most. NULL: nothing */
} wq_ask_options;

#define WQ_ASK_OPTIONS_INIT \
  { (uint32_t)sizeof(wq_ask_options), WQ_MODE_QUICK, NULL, 0, 0, 0, 0, 0, 0.0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }

WQ_API wq_status wq_ask_options_init(wq_ask_options* options, uint32_t struct_size);

/* Starts answering and returns at once. What is wrong with the options (an empty question, say) comes
 * back here; everything later comes as events, the last of them response.completed,
 * response.incomplete or response.failed. Only where there is not even memory for that one, they end
 * without it. [any thread] */
WQ_API wq_status wq_ask(wq_assistant* assistant, const wq_ask_options* options, wq_request** out);

/* The next event, waiting up to timeout_ms (0: not at all; negative: for ever). WQ_E_TIMEOUT when none
 * came, WQ_E_END_OF_STREAM after the final one. Only for requests without on_event. [any thread] */
WQ_API wq_status wq_request_next(wq_request* request, int32_t timeout_ms, wq_string** event);

/* A descriptor for poll() or a main loop, readable while wq_request_next would not wait. It belongs
 * to the request: neither read from it nor close it. Only for requests without on_event.
 * [any thread] */
WQ_API wq_status wq_request_fd(wq_request* request, int* fd);

/* Asks the request to stop and returns at once; the final event still comes. Idempotent, and allowed
 * from inside on_event. [any thread] */
WQ_API wq_status wq_request_cancel(wq_request* request);

/* Waits for the end of the request: WQ_E_TIMEOUT after timeout_ms (negative: for ever). With pulled
 * events they must be pulled, by another thread or before, or the request cannot end. From inside
 * on_event: WQ_E_REENTRANT. [any thread] */
WQ_API wq_status wq_request_wait(wq_request* request, int32_t timeout_ms);

/* Cancels the request if it is running, waits for its last callback, frees it. From inside on_event
 * nothing is freed: WQ_E_REENTRANT. [owner] */
WQ_API wq_status wq_request_free(wq_request* request);

/* ------------------------------------------------------------------ models */

/* What loading a model would need, as JSON: {"weights":bytes,"kv_cache":bytes,"scratch":bytes,
 * "prefix_cache":bytes,"total":bytes,"least":bytes,"context_tokens":n}. `context_tokens` (0: 4096): those
 * of the text to be held; n: as many, or what the model has if that is less. The prefix cache is what it
 * may grow to and gives way; "least" is a memory_budget that is enough, for a mixture of experts with
 * experts read on demand. [any thread] */
WQ_API wq_status wq_estimate(const char* model_path, uint64_t context_tokens, wq_string** out);

#ifdef __cplusplus
}
#endif

#endif /* WENQU_WENQU_H */
