// Keeps two notes in an index and asks about them: the whole life of an index in one page.
//
//   notes DIRECTORY
//   c++ -std=c++20 notes.cc $(pkg-config --cflags --libs wenqu) -o notes
#include <iostream>
#include <wenqu/wenqu.hpp>

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: notes DIRECTORY\n";
    return 2;
  }
  {
    wenqu::Index index(argv[1]);
    index.add_json(R"({"id":"tea","text":"茶馆每天早上七点开门，老板姓顾。","source":"chat"})");
    index.add_json(R"({"id":"ferry","text":"The last ferry leaves at half past nine.","source":"web"})");
    index.commit();
    std::cerr << index.count() << " notes\n";
  }
  wenqu::Assistant assistant({.index_directory = argv[1]});
  for (const char* question : {"茶馆几点开门？", "When does the last ferry leave?"}) {
    wenqu::Request request = assistant.ask(question);
    while (const auto event = request.next()) std::cout << *event << '\n';
  }
  return 0;
} catch (const wenqu::Error& error) {
  std::cerr << error.name() << ": " << error.what() << '\n';
  return 1;
}
