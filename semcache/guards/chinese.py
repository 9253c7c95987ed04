"""The Chinese vocabulary, and how a run of Han characters is cut into words that it knows.

Chinese is written without spaces. Words of these lists are recognised, the longest first; every other character counts
as a word. So facts (negation, opposites, numbers, from and to) are seen as in English, and two wordings of one question
still share most of their words.
"""

import re
from collections.abc import Collection, Iterator

from semcache.guards.vocabulary import Vocabulary, grouped

_IGNORED = """
请问 请 怎么 怎样 如何 怎么样 什么 什么是 是什么 哪些 哪个 哪里 吗 呢 吧 啊 呀 的 地 得 了 着 过 是 在 我 我的
你 你的 您 我们 你们 他们 它 这 那 这个 那个 有 可以 能 能够 会 要 想 想要 应该 需要 一个 一下 一些 一种 一样
方法 办法 方式 步骤 教程 怎么办 告诉 帮 帮忙 给 把 被 和 与 及 或 也 都 就 还 才 很 关于 对于 进行 做 用 使用
利用 通过 介绍 解释 说明 知道 了解 问题 情况 时候 时 里 中 之 个 位
"""
_NEGATIONS = "不 没 没有 无 非 别 未 勿 不能 不会 不要 不可以 无法 不是 不用 不需要 禁不"
_QUESTIONS = ("谁", "何时 什么时候 几时", "哪儿 何处 在哪里 在哪", "为什么 为何 为啥", "多少 几个 多大 多久 多长时间")
# One group is one side of an opposition, as in the English list.
_SCOPES = (
    *(
        "开启 打开 启用 激活 开通",
        "关闭 关掉 禁用 停用 停止 关",
        "允许 准许",
        "禁止 拒绝 阻止",
        "增加 提高 增大 上升 提升",
    ),
    *(
        "减少 降低 减小 下降",
        "上传",
        "下载",
        "登录 登陆 登入",
        "退出 登出 注销",
        "安装",
        "卸载",
        "导入",
        "导出",
        "加密",
        "解密",
    ),
    *("锁定 上锁", "解锁", "买 购买 买入", "卖 出售 卖出", "借入 借", "借出", "添加 新增 加入", "删除 移除 去掉"),
    *("最大 最高 最多", "最小 最低 最少", "之前 以前 前", "之后 以后 后", "以上 超过", "以下 低于", "开始", "结束"),
    *(
        "进口",
        "出口",
        "左",
        "右",
        "男 男性 男人",
        "女 女性 女人",
        "便宜",
        "贵 昂贵",
        "快 快速",
        "慢",
        "优点 好处",
        "缺点 坏处",
    ),
    *(
        "合法",
        "违法 非法",
        "公开",
        "私有 私人",
        "输入",
        "输出",
        "发送",
        "接收",
        "内部",
        "外部",
        "所有 全部",
        "部分",
        "升级",
        "降级",
    ),
    *("昨天", "今天", "明天", "去年", "今年", "明年", "上个月", "这个月", "下个月", "早上 上午", "下午", "晚上"),
    *("热", "冷", "长", "短", "大", "小", "新", "旧 老", "加入", "离开", "连接", "断开", "备份", "恢复 还原"),
)
_SAME = (
    "价格 价钱 费用",
    "手机 电话",
    "电脑 计算机",
    "修改 更改 变更",
    "修复 解决",
    "原因 理由",
    "区别 差别 不同",
    "重置 重设",
)

CHINESE = Vocabulary(
    ignored=frozenset(_IGNORED.split()),
    negations=frozenset(_NEGATIONS.split()),
    questions=grouped(_QUESTIONS),
    scopes=grouped(_SCOPES),
    same=grouped(_SAME),
    sources=frozenset(("从", "自从")),
    targets=frozenset(("到", "至", "往")),
)

# U+3007 is the round zero of years.
_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2, "\u3007": 0}
_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}
# A lone numeral is often part of a word ("一样", "三明治"), so it counts only in company or before a measure.
_NUMBER = re.compile(
    "[零\u3007一二两三四五六七八九十百千万亿]{2,}|[一二两三四五六七八九十](?=[个年月日天周岁次人元块号层倍折点小分秒公米克斤度])"
)
_LONGEST_WORD = 6


def segments(run: str, known: Collection[str]) -> Iterator[str]:
    """The words of a run of Han characters: numbers in figures, words that are ``known``, single characters.

    Example:
        >>> list(segments("三十天怎么退款", {"怎么"}))
        ['30', '天', '怎么', '退', '款']
    """
    at = 0
    while at < len(run):
        number = _NUMBER.match(run, at)
        if number:
            yield str(_value(number[0]))
            at = number.end()
            continue
        longest = min(_LONGEST_WORD, len(run) - at)
        word = next((run[at : at + size] for size in range(longest, 1, -1) if run[at : at + size] in known), run[at])
        yield word
        at += len(word)


def _value(number: str) -> int:
    """Chinese numerals as a number: 两百五十 is 250, 三万 is 30000; and 二零二四, read digit by digit, 2024."""
    if _SCALES.keys().isdisjoint(number):
        return int("".join(str(_DIGITS[digit]) for digit in number))
    total = part = digit = 0
    for character in number:
        scale = _SCALES.get(character)
        if scale is None:
            digit = _DIGITS[character]
        elif scale < 10**4:
            part, digit = part + (digit or 1) * scale, 0
        else:
            total, part, digit = total + (part + digit or 1) * scale, 0, 0
    return total + part + digit
