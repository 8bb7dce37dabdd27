/* The C ABI from C: every function with what it must refuse, then a whole life of an index. Exits with
 * the number of the line that failed, after telling it. */
#include <stdio.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include <wenqu/wenqu.h>

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      fprintf(stderr, "line %d: %s (last error: %s)\n", __LINE__, #condition, wq_last_error()); \
      exit(1);                                                                        \
    }                                                                                 \
  } while (0)

static int contains(const char* text, const char* part) { return strstr(text, part) != NULL; }

struct seen {
  int events;
  int finals;
  int destroyed;
  int stop_after;
  wq_request* request;
};

static int32_t on_event(const char* json, size_t length, void* user) {
  struct seen* seen = user;
  char number[64];
  CHECK(strlen(json) == length);
  sprintf(number, "\"sequence_number\":%d,", seen->events);
  CHECK(contains(json, number));
  ++seen->events;
  if (contains(json, "{\"type\":\"response.completed\"") || contains(json, "{\"type\":\"response.incomplete\"") ||
      contains(json, "{\"type\":\"response.failed\""))
    ++seen->finals;
  return seen->stop_after > 0 && seen->events >= seen->stop_after;
}

static void on_destroy(void* user) { ++((struct seen*)user)->destroyed; }

static void nothing_takes_null(void) {
  wq_index* index = (wq_index*)1;
  wq_assistant* assistant = (wq_assistant*)1;
  wq_request* request = (wq_request*)1;
  wq_string* string = (wq_string*)1;
  wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  uint64_t count = 7;
  int fd = 7;

  CHECK(wq_index_open(NULL, &index) == WQ_E_INVALID_ARGUMENT && index == NULL);
  CHECK(wq_index_open("x", NULL) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_index_add_json(NULL, "{}", 2) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_index_add_path(NULL, ".", NULL, NULL, NULL) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_index_remove(NULL, "x", 1) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_index_commit(NULL) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_index_count(NULL, &count) == WQ_E_INVALID_ARGUMENT && count == 0);
  wq_index_close(NULL);
  CHECK(wq_assistant_open(NULL, &assistant) == WQ_E_INVALID_ARGUMENT && assistant == NULL);
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT);
  CHECK(contains(wq_last_error(), "index_directory"));
  CHECK(wq_assistant_open(&options, NULL) == WQ_E_INVALID_ARGUMENT);
  options.struct_size = 0;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_STRUCT_SIZE);
  CHECK(wq_assistant_options_init(NULL, 8) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_assistant_options_init(&options, 3) == WQ_E_STRUCT_SIZE);
  CHECK(wq_assistant_options_init(&options, (uint32_t)sizeof options) == WQ_OK);
  CHECK(options.struct_size == sizeof options);
  options.index_directory = "/nonexistent";
  options.kv_type = "f64";
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "kv_type"));
  options.kv_type = NULL;
  options.nice = 20;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "nice"));
  options.nice = 19;
  options.threads = 100000;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "threads"));
  options.threads = -1;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "threads"));
  options.threads = 0;
  options.draft_tokens = 8;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "draft_tokens"));
  options.draft_tokens = -2;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "draft_tokens"));
  options.draft_tokens = -1;
  options.gpu_layers = -2;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "gpu_layers"));
  options.gpu_layers = -1;
  options.cpu_experts = -2;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "cpu_experts"));
  options.cpu_experts = 3;
  options.repack = 3;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "repack"));
  options.repack = 1;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_NOT_FOUND);
  options.repack = 2;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_NOT_FOUND);
  options.kv_type = "f64";
  /* A host built against the first release knows nothing of kv_type. */
  options.struct_size = (uint32_t)offsetof(wq_assistant_options, kv_type);
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_NOT_FOUND);
  CHECK(wq_assistant_refresh(NULL) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_search(NULL, "x", 1, 0, &string) == WQ_E_INVALID_ARGUMENT && string == NULL);
  wq_assistant_close(NULL);
  CHECK(wq_ask(NULL, &ask, &request) == WQ_E_INVALID_ARGUMENT && request == NULL);
  CHECK(wq_ask_options_init(&ask, 4) == WQ_E_STRUCT_SIZE);
  CHECK(wq_ask_options_init(&ask, (uint32_t)sizeof ask) == WQ_OK);
  string = (wq_string*)1;
  CHECK(wq_request_next(NULL, 0, &string) == WQ_E_INVALID_ARGUMENT && string == NULL);
  CHECK(wq_request_fd(NULL, &fd) == WQ_E_INVALID_ARGUMENT && fd == -1);
  CHECK(wq_request_cancel(NULL) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_request_wait(NULL, 0) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_request_free(NULL) == WQ_OK);
  CHECK(wq_estimate(NULL, 0, &string) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_string_data(NULL) == NULL);
  CHECK(wq_string_length(NULL) == 0);
  wq_string_free(NULL);
}

static void only_sizes_that_a_version_has_are_taken(void) {
  struct {
    wq_assistant_options options;
    char later[16];
  } newer = {WQ_ASSISTANT_OPTIONS_INIT, {0}};
  wq_assistant* assistant = NULL;
  newer.options.index_directory = "/nonexistent";
  /* Half of a field. */
  newer.options.struct_size = (uint32_t)offsetof(wq_assistant_options, device) + 4;
  CHECK(wq_assistant_open(&newer.options, &assistant) == WQ_E_STRUCT_SIZE);
  CHECK(wq_assistant_options_init(&newer.options, newer.options.struct_size) == WQ_E_STRUCT_SIZE);
  newer.options.struct_size = 1u << 31;
  CHECK(wq_assistant_open(&newer.options, &assistant) == WQ_E_STRUCT_SIZE);
  CHECK(wq_assistant_options_init(&newer.options, 1u << 31) == WQ_E_STRUCT_SIZE);
  /* A later version's, whose new fields are left alone, or are not. */
  newer.options.struct_size = (uint32_t)sizeof newer;
  CHECK(wq_assistant_open(&newer.options, &assistant) == WQ_E_NOT_FOUND);
  newer.later[9] = 1;
  CHECK(wq_assistant_open(&newer.options, &assistant) == WQ_E_UNSUPPORTED && assistant == NULL);
}

/* Valid UTF-8, and no more than a few kilobytes, whatever was passed. */
static void errors_can_be_shown(void) {
  wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
  wq_assistant* assistant = NULL;
  const size_t length = 3 << 20;
  char* name = malloc(length + 1);
  options.index_directory = "/nonexistent/\xFF\xC3";
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_NOT_FOUND);
  CHECK(contains(wq_last_error(), "/nonexistent/\xEF\xBF\xBD\xEF\xBF\xBD") && !strchr(wq_last_error(), '\xFF'));
  memset(name, 'x', length);
  name[length] = '\0';
  memcpy(name, "/", 1);
  options.index_directory = name;
  CHECK(wq_assistant_open(&options, &assistant) != WQ_OK && assistant == NULL);
  CHECK(strlen(wq_last_error()) < 4096 && contains(wq_last_error(), "x...: "));
  free(name);
}

static void versions_and_names_are_told(void) {
  CHECK(wq_version_number() == WQ_VERSION_MAJOR * 1000000u + WQ_VERSION_MINOR * 1000u + WQ_VERSION_PATCH);
  CHECK(contains(wq_version_string(), "."));
  CHECK(strcmp(wq_status_name(WQ_OK), "ok") == 0);
  CHECK(strcmp(wq_status_name(WQ_E_END_OF_STREAM), "end_of_stream") == 0);
  CHECK(strcmp(wq_status_name(12345), "unknown") == 0);
  CHECK(wq_has("retrieval") == 1 && wq_has("flying") == 0 && wq_has(NULL) == 0);
}

static void fill(const char* directory) {
  wq_index* index = NULL;
  wq_index* second = NULL;
  uint64_t count = 0, documents = 0, problems = 0;
  CHECK(wq_index_open(directory, &index) == WQ_OK);
  CHECK(wq_index_open(directory, &second) == WQ_E_BUSY && second == NULL);
  CHECK(wq_index_add_json(index, "{\"id\":\"tea\",\"text\":\"茶馆每天早上七点开门，老板姓顾。\"}", WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_add_json(index, "{\"id\":\"ferry\",\"text\":\"The last ferry leaves at half past nine.\"}", WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_add_json(index, "{\"id\":\"old\",\"text\":\"gone\"}", WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_add_json(index, "{\"text\":\"no id\"}", WQ_NUL_TERMINATED) == WQ_E_INVALID_ARGUMENT);
  CHECK(contains(wq_last_error(), "id"));
  CHECK(wq_index_add_json(index, "{", 1) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_index_add_path(index, "/nonexistent", NULL, &documents, &problems) == WQ_E_NOT_FOUND);
  CHECK(wq_index_add_path(index, directory, "nowhere", NULL, NULL) == WQ_E_INVALID_ARGUMENT);
  CHECK(wq_index_remove(index, "old", WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_remove(index, "never there", WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_commit(index) == WQ_OK);
  CHECK(wq_index_count(index, &count) == WQ_OK && count == 2);
  wq_index_close(index);
}

static void questions_that_are_none_are_refused(wq_assistant* assistant) {
  wq_request* request = NULL;
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  char* long_question;
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_INVALID_ARGUMENT);
  ask.question = "  ";
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_INVALID_ARGUMENT);
  ask.question = "x";
  ask.mode = 9;
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_INVALID_ARGUMENT);
  ask.mode = WQ_MODE_QUICK;
  ask.passages = 1000;
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_INVALID_ARGUMENT);
  ask.passages = 0;
  ask.filter_json = "{\"sources\":[\"tv\"]}";
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "filter_json: sources[]"));
  ask.filter_json = "{\"published_from\":\"monday\"}";
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "published_from"));
  ask.filter_json = NULL;
  long_question = malloc(1 << 20);
  memset(long_question, 'x', 1 << 20);
  ask.question = long_question;
  ask.question_length = 1 << 20;
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_LIMIT_EXCEEDED);
  CHECK(request == NULL);
  free(long_question);
}

static void long_queries_are_refused(wq_assistant* assistant) {
  wq_string* found = (wq_string*)1;
  CHECK(wq_search(assistant, "x", (size_t)1 << 63, 0, &found) == WQ_E_LIMIT_EXCEEDED && found == NULL);
}

/* A host's working directory is its own to change. */
static void an_index_stays_where_it_was_opened(const char* directory) {
  wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
  wq_assistant* assistant = NULL;
  wq_index* index = NULL;
  wq_string* found = NULL;
  char before[4096];
  CHECK(getcwd(before, sizeof before) != NULL);
  options.index_directory = directory;
  CHECK(wq_index_open(directory, &index) == WQ_OK);
  CHECK(wq_assistant_open(&options, &assistant) == WQ_OK);
  CHECK(chdir("/") == 0);
  CHECK(wq_index_add_json(index, "{\"id\":\"heron\",\"text\":\"The heron came back.\"}", WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_commit(index) == WQ_OK);
  CHECK(wq_assistant_refresh(assistant) == WQ_OK);
  CHECK(wq_search(assistant, "heron", WQ_NUL_TERMINATED, 0, &found) == WQ_OK);
  CHECK(contains(wq_string_data(found), "\"file_id\":\"heron\""));
  wq_string_free(found);
  wq_assistant_close(assistant);
  CHECK(wq_index_remove(index, "heron", WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_commit(index) == WQ_OK);
  wq_index_close(index);
  CHECK(chdir(before) == 0);
}

/* Those that the host waits for must not end it on a thread that it does not know. */
static int32_t sees_signals_blocked(const char* json, size_t length, void* user) {
  sigset_t blocked;
  (void)json, (void)length;
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0);
  CHECK(sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGUSR1) == 1 && sigismember(&blocked, SIGSEGV) == 0);
  ++*(int*)user;
  return 0;
}

static void signals_are_the_hosts(wq_assistant* assistant) {
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  wq_request* request = NULL;
  sigset_t blocked;
  int calls = 0;
  ask.question = "ferry";
  ask.on_event = sees_signals_blocked;
  ask.user = &calls;
  CHECK(wq_ask(assistant, &ask, &request) == WQ_OK);
  CHECK(wq_request_wait(request, -1) == WQ_OK);
  CHECK(wq_request_free(request) == WQ_OK);
  CHECK(calls > 0);
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0 && sigismember(&blocked, SIGTERM) == 0);
}

static void events_can_be_pulled(wq_assistant* assistant) {
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  wq_request* request = NULL;
  wq_string* event = NULL;
  struct pollfd poll_fd;
  int count = 0, cited = 0, fd = -1;
  wq_status status;
  ask.question = "茶馆几点开门？";
  CHECK(wq_ask(assistant, &ask, &request) == WQ_OK);
  CHECK(wq_request_fd(request, &fd) == WQ_OK && fd >= 0);
  for (;;) {
    poll_fd.fd = fd;
    poll_fd.events = POLLIN;
    CHECK(poll(&poll_fd, 1, 60000) == 1);
    status = wq_request_next(request, 0, &event);
    if (status == WQ_E_END_OF_STREAM) break;
    if (status == WQ_E_TIMEOUT) continue;
    CHECK(status == WQ_OK);
    CHECK(strlen(wq_string_data(event)) == wq_string_length(event));
    if (contains(wq_string_data(event), "annotation.added") && contains(wq_string_data(event), "\"tea\"")) cited = 1;
    wq_string_free(event);
    ++count;
  }
  CHECK(count > 8 && cited);
  CHECK(wq_request_next(request, -1, &event) == WQ_E_END_OF_STREAM && event == NULL);
  CHECK(wq_request_wait(request, -1) == WQ_OK);
  CHECK(wq_request_cancel(request) == WQ_OK);
  CHECK(wq_request_free(request) == WQ_OK);
}

/* A host built against the first release knows nothing of filter_json. */
static void filters_leave_out_what_they_say(wq_assistant* assistant) {
  const char* filters[] = {"{\"sources\":[\"web\"]}", "{\"published_from\":\"2024\"}", "{\"attributes\":{\"a\":\"b\"}}",
                           "{\"principals\":[]}", "not read"};
  int i;
  for (i = 0; i < 5; ++i) {
    wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
    wq_request* request = NULL;
    wq_string* event = NULL;
    int cited = 0;
    ask.question = "茶馆几点开门？";
    ask.filter_json = filters[i];
    if (i == 4) ask.struct_size = (uint32_t)offsetof(wq_ask_options, filter_json);
    CHECK(wq_ask(assistant, &ask, &request) == WQ_OK);
    while (wq_request_next(request, 60000, &event) == WQ_OK) {
      if (contains(wq_string_data(event), "annotation.added")) cited = 1;
      wq_string_free(event);
    }
    CHECK(cited == (i >= 3));
    CHECK(wq_request_free(request) == WQ_OK);
  }
}

/* Pulls the answer's events, keeps its id, and tells whether what it says has `part`. */
static int answers(wq_assistant* assistant, const wq_ask_options* ask, const char* part, char id[64]) {
  wq_request* request = NULL;
  wq_string* event = NULL;
  int found = 0;
  CHECK(wq_ask(assistant, ask, &request) == WQ_OK);
  while (wq_request_next(request, 60000, &event) == WQ_OK) {
    const char* json = wq_string_data(event);
    const char* member = strstr(json, "\"response_id\":\"");
    if (contains(json, "output_text.done") && contains(json, part)) found = 1;
    if (member) sscanf(member, "\"response_id\":\"%63[^\"]", id);
    wq_string_free(event);
  }
  CHECK(wq_request_free(request) == WQ_OK);
  return found;
}

static void searches_have_pages_and_filters(wq_assistant* assistant) {
  wq_search_options options = WQ_SEARCH_OPTIONS_INIT;
  wq_string* found = NULL;
  CHECK(wq_search_with_options(assistant, &options, &found) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "options.query"));
  CHECK(wq_search_with_options(assistant, NULL, &found) == WQ_E_INVALID_ARGUMENT);
  options.query = "ferry 茶馆";
  CHECK(wq_search_with_options(assistant, &options, &found) == WQ_OK);
  CHECK(contains(wq_string_data(found), "\"ferry\"") && contains(wq_string_data(found), "\"tea\""));
  wq_string_free(found);
  options.query_length = 5;
  CHECK(wq_search_with_options(assistant, &options, &found) == WQ_OK && !contains(wq_string_data(found), "\"tea\""));
  wq_string_free(found);
  options.query_length = 0;
  options.offset = 2;
  CHECK(wq_search_with_options(assistant, &options, &found) == WQ_OK && contains(wq_string_data(found), "\"results\":[]"));
  wq_string_free(found);
  options.offset = 0;
  options.filter_json = "{\"sources\":[\"web\"]}";
  CHECK(wq_search_with_options(assistant, &options, &found) == WQ_OK && contains(wq_string_data(found), "\"results\":[]"));
  wq_string_free(found);
  options.filter_json = "{\"principal\":[]}";
  CHECK(wq_search_with_options(assistant, &options, &found) == WQ_E_INVALID_ARGUMENT && found == NULL && contains(wq_last_error(), "filter_json"));
  options.filter_json = NULL;
  options.offset = 10000;
  CHECK(wq_search_with_options(assistant, &options, &found) == WQ_E_INVALID_ARGUMENT && found == NULL);
  CHECK(wq_search_options_init(&options, 8) == WQ_E_STRUCT_SIZE);
  CHECK(wq_search_options_init(&options, (uint32_t)sizeof options) == WQ_OK && options.struct_size == sizeof options);
}

static void a_question_goes_on_from_the_one_before(wq_assistant* assistant) {
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  wq_request* request = NULL;
  char id[64] = "", next[64] = "";
  ask.question = "茶馆几点开门？";
  CHECK(answers(assistant, &ask, "七点", id));
  ask.question = "还有呢？";
  CHECK(!answers(assistant, &ask, "七点", next));
  ask.previous_response_id = id;
  CHECK(answers(assistant, &ask, "七点", next));
  CHECK(strcmp(id, next) != 0);
  ask.filter_json = "{\"principals\":[\"bob\"]}"; /* who did not ask that */
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_NOT_FOUND && request == NULL);
  ask.filter_json = NULL;
  ask.previous_response_id = "resp_0";
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_NOT_FOUND && contains(wq_last_error(), "previous_response_id"));
  ask.previous_response_id = NULL;
  ask.history_json = "[{\"role\":\"user\",\"content\":\"茶馆几点开门？\"},{\"role\":\"assistant\",\"content\":\"七点。\"}]";
  CHECK(answers(assistant, &ask, "七点", next));
  ask.history_json = "{\"role\":\"user\"}";
  CHECK(wq_ask(assistant, &ask, &request) == WQ_E_INVALID_ARGUMENT && contains(wq_last_error(), "history_json"));
}

static void events_can_be_called_back(wq_assistant* assistant) {
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  wq_request* request = NULL;
  wq_string* event = NULL;
  struct seen seen;
  int stop;
  for (stop = 0; stop < 12; ++stop) {
    int fd;
    memset(&seen, 0, sizeof seen);
    seen.stop_after = stop;
    ask.question = "When does the last ferry leave?";
    ask.mode = stop % 2 ? WQ_MODE_DEEP : WQ_MODE_QUICK;
    ask.on_event = on_event;
    ask.user = &seen;
    ask.destroy = on_destroy;
    CHECK(wq_ask(assistant, &ask, &request) == WQ_OK);
    CHECK(wq_request_next(request, 0, &event) == WQ_E_INVALID_ARGUMENT);
    CHECK(wq_request_fd(request, &fd) == WQ_E_INVALID_ARGUMENT);
    CHECK(wq_request_wait(request, -1) == WQ_OK);
    CHECK(wq_request_free(request) == WQ_OK);
    CHECK(seen.finals == 1 && seen.destroyed == 1);
  }
}

static int32_t free_inside(const char* json, size_t length, void* user) {
  struct seen* seen = user;
  (void)json;
  (void)length;
  if (seen->request) {
    CHECK(wq_request_free(seen->request) == WQ_E_REENTRANT);
    CHECK(wq_request_wait(seen->request, 0) == WQ_E_REENTRANT);
    CHECK(wq_request_cancel(seen->request) == WQ_OK);
    ++seen->events;
  }
  return 0;
}

static void a_callback_cannot_free_its_request(wq_assistant* assistant) {
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  struct seen seen;
  memset(&seen, 0, sizeof seen);
  ask.question = "ferry";
  ask.on_event = free_inside;
  ask.user = &seen;
  CHECK(wq_ask(assistant, &ask, &seen.request) == WQ_OK);
  CHECK(wq_request_wait(seen.request, -1) == WQ_OK);
  CHECK(wq_request_free(seen.request) == WQ_OK);
  CHECK(seen.events > 0);
}

static void freeing_stops_what_runs(wq_assistant* assistant) {
  int i;
  for (i = 0; i < 50; ++i) {
    wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
    wq_request* request = NULL;
    ask.question = "茶馆老板姓什么？";
    ask.mode = WQ_MODE_DEEP;
    CHECK(wq_ask(assistant, &ask, &request) == WQ_OK);
    if (i % 2) CHECK(wq_request_cancel(request) == WQ_OK);
    CHECK(wq_request_free(request) == WQ_OK);
  }
}

/* The first letter of a text, as a direction. */
static int32_t embed_letters(const char* const* texts, const size_t* lengths, size_t count, int32_t is_query, float* vectors,
                             void* user) {
  size_t i;
  (void)is_query;
  ++*(int*)user;
  for (i = 0; i < count; ++i) {
    memset(vectors + 26 * i, 0, 26 * sizeof(float));
    if (lengths[i] > 0 && texts[i][0] >= 'a' && texts[i][0] <= 'z') vectors[26 * i + (size_t)(texts[i][0] - 'a')] = 2;
  }
  return 0;
}

static int32_t rerank_fails(const char* query, size_t query_length, const char* const* texts, const size_t* lengths, size_t count,
                            float* scores, void* user) {
  (void)query, (void)query_length, (void)texts, (void)lengths, (void)count, (void)scores, (void)user;
  return 7;
}

static void a_host_gives_vectors(const char* directory) {
  static const char kDocuments[2][48] = {"{\"id\": \"z\", \"text\": \"zebras run\"}", "{\"id\": \"b\", \"text\": \"bears sleep\"}"};
  wq_search_models models = WQ_SEARCH_MODELS_INIT;
  wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
  wq_index* index = NULL;
  wq_assistant* assistant = NULL;
  wq_string* found = NULL;
  int calls = 0, i;
  models.on_embed = embed_letters;
  models.user = &calls;
  CHECK(wq_index_open_with_models(directory, &models, &index) == WQ_E_INVALID_ARGUMENT && index == NULL);
  models.embed_identity = "letters";
  CHECK(wq_index_open_with_models(directory, &models, &index) == WQ_E_INVALID_ARGUMENT && index == NULL);
  models.embed_dimensions = 26;
  models.embed_path = "model.gguf";
  CHECK(wq_index_open_with_models(directory, &models, &index) == WQ_E_INVALID_ARGUMENT && index == NULL);
  models.embed_path = NULL;
  CHECK(wq_index_open_with_models(directory, &models, &index) == WQ_OK);
  for (i = 0; i < 2; ++i) CHECK(wq_index_add_json(index, kDocuments[i], WQ_NUL_TERMINATED) == WQ_OK);
  CHECK(wq_index_commit(index) == WQ_OK);
  wq_index_close(index);
  CHECK(calls == 1);

  options.index_directory = directory;
  options.models = &models;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_OK);
  CHECK(wq_search(assistant, "zoology", WQ_NUL_TERMINATED, 1, &found) == WQ_OK);
  CHECK(found != NULL && strstr(wq_string_data(found), "zebras") != NULL);
  wq_string_free(found);
  wq_assistant_close(assistant);
  models.on_rerank = rerank_fails;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_OK);
  CHECK(wq_search(assistant, "zoology", WQ_NUL_TERMINATED, 1, &found) == WQ_E_CANCELLED && found == NULL);
  wq_assistant_close(assistant);
  models.embed_identity = "others";
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_VERSION_MISMATCH && assistant == NULL);
  models.struct_size = 8;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_STRUCT_SIZE && assistant == NULL);
}

static int32_t embeds_nothing(const char* const* texts, const size_t* lengths, size_t count, int32_t is_query, float* vectors, void* user) {
  (void)texts, (void)lengths, (void)count, (void)is_query, (void)vectors, (void)user;
  return 7;
}

/* The error tells what the numbers, which are 0 then, cannot. */
static void what_was_added_before_an_error_is_told(const char* directory) {
  wq_search_models models = WQ_SEARCH_MODELS_INIT;
  wq_index* index = NULL;
  uint64_t documents = 7, problems = 7;
  char path[600];
  FILE* file;
  int i;
  snprintf(path, sizeof path, "%s.jsonl", directory);
  CHECK((file = fopen(path, "w")) != NULL);
  for (i = 0; i < 1000; ++i) fprintf(file, "{\"id\": \"d%d\", \"text\": \"animal number %d\"}\n", i, i);
  CHECK(fclose(file) == 0);
  models.on_embed = embeds_nothing;
  models.embed_identity = "letters";
  models.embed_dimensions = 26;
  CHECK(wq_index_open_with_models(directory, &models, &index) == WQ_OK);
  CHECK(wq_index_add_path(index, path, NULL, &documents, &problems) == WQ_E_CANCELLED && documents == 0 && problems == 0);
  CHECK(contains(wq_last_error(), " documents were added before)"));
  wq_index_close(index);
  CHECK(remove(path) == 0);
}

int main(int argc, char** argv) {
  wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
  wq_assistant* assistant = NULL;
  wq_string* found = NULL;
  char vectors[512];
  if (argc != 2) return 2;
  nothing_takes_null();
  only_sizes_that_a_version_has_are_taken();
  errors_can_be_shown();
  versions_and_names_are_told();
  options.index_directory = argv[1];
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_NOT_FOUND);
  fill(argv[1]);
  options.model_path = "/nonexistent.gguf";
  CHECK(wq_assistant_open(&options, &assistant) == WQ_E_NOT_FOUND);
  CHECK(contains(wq_last_error(), "/nonexistent.gguf"));
  options.model_path = NULL;
  CHECK(wq_assistant_open(&options, &assistant) == WQ_OK);
  CHECK(wq_assistant_refresh(assistant) == WQ_OK);
  CHECK(wq_search(assistant, "ferry", 5, 0, &found) == WQ_OK);
  CHECK(contains(wq_string_data(found), "\"file_id\":\"ferry\""));
  wq_string_free(found);
  CHECK(wq_search(assistant, "", 0, 0, &found) == WQ_E_INVALID_ARGUMENT && found == NULL);
  questions_that_are_none_are_refused(assistant);
  long_queries_are_refused(assistant);
  signals_are_the_hosts(assistant);
  events_can_be_pulled(assistant);
  filters_leave_out_what_they_say(assistant);
  searches_have_pages_and_filters(assistant);
  a_question_goes_on_from_the_one_before(assistant);
  events_can_be_called_back(assistant);
  a_callback_cannot_free_its_request(assistant);
  freeing_stops_what_runs(assistant);
  wq_assistant_close(assistant);
  an_index_stays_where_it_was_opened(argv[1]);
  snprintf(vectors, sizeof vectors, "%s.vectors", argv[1]);
  a_host_gives_vectors(vectors);
  what_was_added_before_an_error_is_told(vectors);
  return 0;
}
