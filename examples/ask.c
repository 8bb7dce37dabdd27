/* Asks one question of an index and prints the answer as it comes.
 *
 *   ask INDEX QUESTION [deep]        events as JSON lines, as `wenqu ask --json` prints them
 *   cc ask.c $(pkg-config --cflags --libs wenqu) -o ask
 */
#include <stdio.h>
#include <string.h>
#include <wenqu/wenqu.h>

static int failed(const char* what) {
  fprintf(stderr, "%s: %s\n", what, wq_last_error());
  return 1;
}

int main(int argc, char** argv) {
  wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
  wq_ask_options ask = WQ_ASK_OPTIONS_INIT;
  wq_assistant* assistant = NULL;
  wq_request* request = NULL;
  wq_string* event = NULL;
  wq_status status;

  if (argc < 3) {
    fprintf(stderr, "usage: ask INDEX QUESTION [deep]\n");
    return 2;
  }
  options.index_directory = argv[1];
  if (wq_assistant_open(&options, &assistant) != WQ_OK) return failed("open");

  ask.question = argv[2];
  ask.mode = argc > 3 && strcmp(argv[3], "deep") == 0 ? WQ_MODE_DEEP : WQ_MODE_QUICK;
  if (wq_ask(assistant, &ask, &request) != WQ_OK) {
    wq_assistant_close(assistant);
    return failed("ask");
  }
  while ((status = wq_request_next(request, -1, &event)) == WQ_OK) {
    puts(wq_string_data(event));
    wq_string_free(event);
  }
  wq_request_free(request);
  wq_assistant_close(assistant);
  return status == WQ_E_END_OF_STREAM ? 0 : failed("next");
}
