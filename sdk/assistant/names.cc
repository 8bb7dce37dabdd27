#include "sdk/assistant/names.h"

#include <algorithm>

namespace wenqu::assistant {
namespace {

// The surnames of most people, by frequency in the census of 2020 and older lists; order is of no use here.
constexpr std::u32string_view kSurnames =
    U"王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔"
    U"谭陆范汪廖石金韦贾夏付傅方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤康易乔温闻庄晏柴"
    U"瞿阮尚安宁麻鲁洪施殷柳文倪牛章单季岳齐沙葛穆洛盛裴涂翟凌费童欧甘米卞庾費張劉陳楊黃趙吳孫馬羅鄭謝許韓鄧馮蕭葉蘇呂盧"
    U"鍾陸賈鄒閻賀顧萬錢嚴湯喬溫聞莊寧魯齊單";

}  // namespace

bool looks_like_name(std::u32string_view text, bool at_sentence_start) {
  if (text.size() < 2) return false;
  const char32_t first = text.front();
  if (first >= 0x3400 && first <= 0x9FFF)
    return text.size() <= 4 && kSurnames.find(first) != kSurnames.npos;
  return !at_sentence_start && first >= U'A' && first <= U'Z' && text[1] >= U'a' && text[1] <= U'z';
}

}  // namespace wenqu::assistant
