/* consumer DIRECTORY: keeps a note in an index there and finds it again, from C99. */
#include <stdio.h>
#include <string.h>
#include <wenqu/wenqu.h>

int main(int argc, char** argv) {
  static const char note[] = "{\"id\":\"ferry\",\"text\":\"The last ferry leaves at half past nine.\"}";
  wq_assistant_options options = WQ_ASSISTANT_OPTIONS_INIT;
  wq_index* index = NULL;
  wq_assistant* assistant = NULL;
  wq_string* found = NULL;
  if (argc != 2) return 2;
  if (wq_index_open(argv[1], &index) != WQ_OK || wq_index_add_json(index, note, strlen(note)) != WQ_OK ||
      wq_index_commit(index) != WQ_OK) {
    fprintf(stderr, "%s\n", wq_last_error());
    return 1;
  }
  wq_index_close(index);
  options.index_directory = argv[1];
  if (wq_assistant_open(&options, &assistant) != WQ_OK || wq_search(assistant, "ferry", 5, 0, &found) != WQ_OK) {
    fprintf(stderr, "%s\n", wq_last_error());
    return 1;
  }
  puts(wq_string_data(found));
  wq_string_free(found);
  wq_assistant_close(assistant);
  return 0;
}
