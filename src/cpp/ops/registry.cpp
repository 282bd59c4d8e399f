#include "ops/op.h"

namespace unrolled::ops {
namespace {

std::map<std::string, Op>& table() {
  static std::map<std::string, Op> ops;
  return ops;
}

}  // namespace

const Op& find_op(const std::string& name) {
  const auto found = table().find(name);
  if (found == table().end()) throw std::invalid_argument("there is no op named " + name);
  return found->second;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const auto& entry : table()) names.push_back(entry.first);
  return names;
}

Registration::Registration(const Op& op) { table().emplace(op.name, op); }

}  // namespace unrolled::ops
