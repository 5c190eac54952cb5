// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;

namespace Mooncake.Mesh;

/// <summary>
/// How long a call may take. Without end is none: to every wait inside, a limit below zero has passed, and one of
/// thousands of years is more than clocks count.
/// </summary>
internal static class CallLimit
{
    /// <summary>The longest.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromDays(1);

    private static readonly TimeSpan OfAll = TimeSpan.FromSeconds(30);

    /// <summary>The limit of a call about everything that is stored; null: 30 s.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is none.</exception>
    public static TimeSpan Bulk(TimeSpan? deadline) => Checked(deadline, nameof(deadline)) ?? OfAll;

    /// <summary>The limit, if it is one.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not.</exception>
    public static TimeSpan Checked(TimeSpan limit, [CallerMemberName] string name = "")
    {
        return limit > TimeSpan.Zero && limit <= Longest
            ? limit
            : throw new ArgumentOutOfRangeException(name, limit,
                $"{name} is {limit}; more than 0 and up to {Longest} are legal");
    }

    /// <summary>The limit, if it is one; null: the default is meant.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is neither.</exception>
    public static TimeSpan? Checked(TimeSpan? limit, [CallerMemberName] string name = "") =>
        limit is { } given ? Checked(given, name) : null;
}
