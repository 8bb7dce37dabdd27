#include "disk_model.h"

#include <filesystem>
#include <fstream>

namespace wenqu::retrieval {
namespace {

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// The unsynchronised content `now`, as a power cut leaves it; `old` is what was safe.
std::string damaged(const std::string& now, const std::string& old, Damage damage, std::mt19937& random) {
  std::string bytes = now;
  switch (damage) {
    case Damage::old_content: return old;
    case Damage::zeroed: return std::string(now.size(), '\0');
    case Damage::halved: return now.substr(0, now.size() / 2);
    case Damage::garbled:
      if (!bytes.empty()) {
        char& byte = bytes[random() % bytes.size()];
        byte = static_cast<char>(byte ^ (1 << random() % 8));
      }
      return bytes;
    default: return bytes;
  }
}

}  // namespace

DiskModel::DiskModel(const DiskModel& other)
    : root_(other.root_), directories_(other.directories_), durable_directories_(other.durable_directories_) {
  std::map<const Inode*, std::shared_ptr<Inode>> copies;
  const auto copy = [&](const Entries& from, Entries& to) {
    for (const auto& [path, inode] : from) {
      std::shared_ptr<Inode>& twin = copies[inode.get()];
      if (!twin) twin = std::make_shared<Inode>(*inode);
      to[path] = twin;
    }
  };
  copy(other.entries_, entries_);
  copy(other.durable_entries_, durable_entries_);
}

void DiskModel::apply(const FileEvent& event) {
  if (!event.path.starts_with(root_)) return;
  switch (event.operation) {
    case FileOperation::create: entries_[event.path] = std::make_shared<Inode>(); break;
    case FileOperation::write: {
      std::string& content = entries_.at(event.path)->content;
      if (content.size() < event.offset + event.bytes.size()) content.resize(event.offset + event.bytes.size());
      content.replace(event.offset, event.bytes.size(), event.bytes);
      break;
    }
    case FileOperation::sync: entries_.at(event.path)->durable = entries_.at(event.path)->content; break;
    case FileOperation::rename:
      entries_[event.to] = entries_.at(event.path);
      entries_.erase(event.path);
      break;
    case FileOperation::remove: entries_.erase(event.path); break;
    case FileOperation::make_directory: directories_.insert(event.path); break;
    case FileOperation::sync_directory: {
      std::erase_if(durable_entries_, [&](const auto& entry) { return parent_of(entry.first) == event.path; });
      for (const auto& [path, inode] : entries_)
        if (parent_of(path) == event.path) durable_entries_[path] = inode;
      for (const std::string& directory : directories_)
        if (parent_of(directory) == event.path) durable_directories_.insert(directory);
      break;
    }
    default: break;
  }
}

DiskModel::Files DiskModel::visible() const {
  Files files;
  for (const auto& [path, inode] : entries_) files[path] = inode->content;
  return files;
}

bool DiskModel::directory_may_be_gone(const std::string& path) const {
  for (std::string directory = parent_of(path); directory.size() > root_.size(); directory = parent_of(directory))
    if (!durable_directories_.contains(directory)) return true;
  return false;
}

DiskModel::Files DiskModel::after_power_cut(Damage damage, std::mt19937& random) const {
  std::set<std::string> paths;
  for (const auto& [path, inode] : entries_) paths.insert(path);
  for (const auto& [path, inode] : durable_entries_) paths.insert(path);
  const bool lose_directories = random() % 2 == 0;
  Files files;
  for (const std::string& path : paths) {
    if (lose_directories && directory_may_be_gone(path)) continue;
    const Damage one = damage == Damage::mixed ? static_cast<Damage>(random() % (kDamages - 1)) : damage;
    const auto now = entries_.find(path);
    const auto old = durable_entries_.find(path);
    std::shared_ptr<Inode> inode = now == entries_.end() ? nullptr : now->second;
    const std::shared_ptr<Inode> old_inode = old == durable_entries_.end() ? nullptr : old->second;
    if (inode != old_inode && (one == Damage::deleted || random() % 2 == 0)) inode = old_inode;
    if (!inode) continue;
    files[path] = inode->content == inode->durable ? inode->content
                                                   : damaged(inode->content, inode->durable, one, random);
  }
  return files;
}

void DiskModel::put(const Files& files, const std::string& old_root, const std::string& root) {
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root);
  for (const auto& [path, content] : files) {
    const std::filesystem::path target = root + path.substr(old_root.size());
    std::filesystem::create_directories(target.parent_path());
    std::ofstream(target, std::ios::binary) << content;
  }
}

}  // namespace wenqu::retrieval
