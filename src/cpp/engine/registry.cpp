#include "engine/registry.h"

#include <stdexcept>
#include <type_traits>

namespace unrolled {

void register_rnn(Registry&);
void register_lstm(Registry&);
void register_gru(Registry&);
void register_gru_reset_before(Registry&);
void register_peephole_lstm(Registry&);
void register_coupled_lstm(Registry&);

Registry& cells() {
  static Registry* const all = [] {
    Registry* const registry = new Registry;
    register_rnn(*registry);
    register_lstm(*registry);
    register_gru(*registry);
    register_gru_reset_before(*registry);
    register_peephole_lstm(*registry);
    register_coupled_lstm(*registry);
    return registry;
  }();
  return *all;
}

template <class S>
const CellKernel<S>& Registry::find(const std::string& name) const {
  const auto at = entries_.find(name);
  if (at == entries_.end()) {
    std::string known;
    for (const std::string& other : names()) known += (known.empty() ? "" : ", ") + other;
    throw std::invalid_argument("no cell is called '" + name + "'; there are: " + known);
  }
  if constexpr (std::is_same_v<S, float>)
    return at->second.single;
  else
    return at->second.twice;
}

std::vector<std::string> Registry::names() const {
  std::vector<std::string> all;
  for (const auto& entry : entries_) all.push_back(entry.first);
  return all;
}

template const CellKernel<float>& Registry::find<float>(const std::string&) const;
template const CellKernel<double>& Registry::find<double>(const std::string&) const;

}  // namespace unrolled
