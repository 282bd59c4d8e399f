#include "engine/registry.h"

#include <stdexcept>
#include <type_traits>

#include "cells/feedback.h"

namespace unrolled {

void register_rnn(Registry&);
void register_lstm(Registry&);
void register_lstm_1997(Registry&);
void register_peephole_lstm(Registry&);
void register_full_peephole_lstm(Registry&);
void register_coupled_lstm(Registry&);
void register_projected_lstm(Registry&);
void register_multiplicative_lstm(Registry&);
void register_layer_norm_lstm(Registry&);
void register_slstm(Registry&);
void register_gru(Registry&);
void register_gru_reset_before(Registry&);
void register_layer_norm_gru(Registry&);
void register_mgu(Registry&);
void register_bistable_gru(Registry&);
void register_minimal(Registry&);
void register_sru(Registry&);
void register_qrnn(Registry&);
void register_jordan(Registry&);
void register_ind_rnn(Registry&);
void register_leaky_rnn(Registry&);
void register_layer_norm_rnn(Registry&);
void register_recurrent_highway(Registry&);
void register_ctrnn(Registry&);
void register_gru_d(Registry&);

Registry& cells() {
  static Registry* const all = [] {
    Registry* const registry = new Registry;
    register_rnn(*registry);
    register_lstm(*registry);
    register_lstm_1997(*registry);
    register_peephole_lstm(*registry);
    register_full_peephole_lstm(*registry);
    register_coupled_lstm(*registry);
    register_projected_lstm(*registry);
    register_multiplicative_lstm(*registry);
    register_layer_norm_lstm(*registry);
    register_slstm(*registry);
    register_gru(*registry);
    register_gru_reset_before(*registry);
    register_layer_norm_gru(*registry);
    register_mgu(*registry);
    register_bistable_gru(*registry);
    register_minimal(*registry);
    register_sru(*registry);
    register_qrnn(*registry);
    register_jordan(*registry);
    register_ind_rnn(*registry);
    register_leaky_rnn(*registry);
    register_layer_norm_rnn(*registry);
    register_recurrent_highway(*registry);
    register_ctrnn(*registry);
    register_gru_d(*registry);
    return registry;
  }();
  return *all;
}

void Registry::put(const std::string& name, const Entry& entry) {
  entries_[name] = entry;
  const auto fed_back = feed_back(entry.f32);
  if (fed_back) fed_back_[name + fed_back_suffix] = {*fed_back, *feed_back(entry.f64)};
}

template <class S>
const CellKernel<S>& Registry::find(const std::string& name) const {
  auto at = fed_back_.find(name);
  if (at == fed_back_.end() && (at = entries_.find(name)) == entries_.end()) {
    std::string known;
    for (const std::string& other : names()) known += (known.empty() ? "" : ", ") + other;
    throw std::invalid_argument("no cell is called '" + name + "'; there are: " + known);
  }
  if constexpr (std::is_same_v<S, float>)
    return at->second.f32;
  else
    return at->second.f64;
}

std::vector<std::string> Registry::names() const {
  std::vector<std::string> all;
  for (const auto& entry : entries_) all.push_back(entry.first);
  return all;
}

template const CellKernel<float>& Registry::find<float>(const std::string&) const;
template const CellKernel<double>& Registry::find<double>(const std::string&) const;

}  // namespace unrolled
