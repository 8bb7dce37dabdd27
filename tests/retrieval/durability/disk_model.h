// A disk whose power can be cut: it is told what was done to files, and gives states it could be found in.
//
// The model is harsher than disks are. What was not synchronised may be there, missing, zeroed, halved or
// garbled, each file by itself; an entry of a directory that was not synchronised may be the old or the new
// one, each name by itself, whatever the order of the operations was.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "retrieval/store/file_probe.h"

namespace wenqu::retrieval {

enum class Damage { kept, old_content, deleted, zeroed, halved, garbled, mixed };
inline constexpr int kDamages = 7;

class DiskModel {
 public:
  using Files = std::map<std::string, std::string>;  // path -> content

  // Paths of events begin with `root`, which is there and stays.
  explicit DiskModel(std::string root) : root_(std::move(root)) {}
  DiskModel(const DiskModel& other);
  DiskModel& operator=(const DiskModel&) = delete;

  // REQUIRES: the event succeeded
  void apply(const FileEvent& event);
  // What another process sees: nothing is lost while the machine lives.
  Files visible() const;
  const std::set<std::string>& directories() const { return directories_; }
  // What is found after a power cut that does `damage` to all that is not safe.
  Files after_power_cut(Damage damage, std::mt19937& random) const;

  // Writes the files below `root`, which is emptied first.
  static void put(const Files& files, const std::string& old_root, const std::string& root);

 private:
  struct Inode {
    std::string content;
    std::string durable;   // when it was last synchronised
  };
  using Entries = std::map<std::string, std::shared_ptr<Inode>>;  // path -> file

  bool directory_may_be_gone(const std::string& path) const;

  std::string root_;
  Entries entries_, durable_entries_;
  std::set<std::string> directories_, durable_directories_;
};

}  // namespace wenqu::retrieval
