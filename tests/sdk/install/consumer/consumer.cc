// consumer DIRECTORY: keeps a note in an index there and finds it again, from C++17.
#include <iostream>
#include <wenqu/wenqu.hpp>

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  wenqu::Index index(argv[1]);
  index.add_json(R"({"id":"ferry","text":"The last ferry leaves at half past nine."})");
  index.commit();
  wenqu::AssistantOptions options;
  options.index_directory = argv[1];
  wenqu::Assistant assistant(options);
  std::cout << assistant.search("ferry") << '\n';
  return 0;
} catch (const wenqu::Error& error) {
  std::cerr << error.name() << ": " << error.what() << '\n';
  return 1;
}
