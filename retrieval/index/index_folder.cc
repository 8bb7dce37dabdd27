#include "retrieval/index/index_folder.h"

#include <set>
#include <string>

#include "retrieval/index/schema.h"
#include "retrieval/index/snapshot.h"
#include "retrieval/vectors/vector_writer.h"

namespace wenqu::retrieval {
namespace {

std::set<std::string> names_of(const Manifest& manifest) {
  std::set<std::string> names;
  for (const ManifestFile& file : manifest.files) names.insert(file.name);
  return names;
}

bool is_lucene_name(const std::string& name) {
  return name.starts_with('_') || name.starts_with("segments") || name.starts_with(kVocabularyPrefix);
}

}  // namespace

Status refuse_other_folders(const IndexPaths& paths) {
  WENQU_ASSIGN_OR_RETURN(const bool empty, is_empty_directory(paths.directory));
  if (empty) return {};
  for (const std::string& ours :
       {paths.lock, paths.manifest, replacement_of(paths.manifest), paths.previous_manifest}) {
    WENQU_ASSIGN_OR_RETURN(const bool there, exists(ours));
    if (there) return {};
  }
  return Status(StatusCode::invalid_argument,
                "the folder holds other things and is no index: name a new or an empty folder", paths.directory);
}

Status begin_index(const IndexPaths& paths) {
  for (const std::string& manifest : {paths.manifest, paths.previous_manifest}) {
    WENQU_ASSIGN_OR_RETURN(const bool there, exists(manifest));
    if (there) return {};
  }
  WENQU_ASSIGN_OR_RETURN(const bool empty, is_empty_directory(paths.lucene));
  if (!empty)
    return Status(StatusCode::corrupt,
                  "the manifests are gone, which alone tell what of the files is the index: put `manifest` back "
                  "from a copy, or index the documents again into an empty folder",
                  paths.directory);
  return write_manifest(paths, Manifest());
}

void collect_garbage(const IndexPaths& paths, const Manifest* committed, bool keeps_vectors, WriterDirectory& directory) {
  std::set<std::string> wanted;
  if (committed) wanted = names_of(*committed);
  const auto previous = read_manifest(paths.previous_manifest, Analyses::older_too);
  if (previous) wanted.merge(names_of(*previous));
  directory.protect(wanted);
  // One that cannot be read today may be needed tomorrow.
  if (previous.status().code() == StatusCode::io_error) return;
  if (keeps_vectors || (committed && !committed->vectors.empty()))
    collect_vector_garbage(paths, committed, previous ? &*previous : nullptr);
  auto present = list_files(paths.lucene);
  if (!present) return;  // garbage does no harm; the next commit tries again
  for (const std::string& name : *present)
    if (is_lucene_name(name) && !wanted.contains(name) && !directory.holds(name))
      (void)remove_file(paths.lucene + "/" + name).is_ok();
}

}  // namespace wenqu::retrieval
