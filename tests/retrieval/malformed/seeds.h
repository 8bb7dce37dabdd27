// Whole, small files of every format that is read, made here, and the archives that hold some of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace wenqu::retrieval {

using ArchiveParts = std::vector<std::pair<std::string, std::string>>;   // names and contents

// A zip archive of the parts, deflated; "" when it cannot be made.
std::string make_archive(const ArchiveParts& parts);

ArchiveParts docx_parts();
ArchiveParts epub_parts();
// A PDF with a page for each text (ASCII).
std::string make_pdf(const std::vector<std::string>& pages);

// Files of the format named by an extension, such as ".eml". Each speaks of herons.
std::vector<std::string> seeds_of(const std::string& extension);

}  // namespace wenqu::retrieval
