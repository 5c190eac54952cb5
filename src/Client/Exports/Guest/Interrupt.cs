// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Exports.Guest;

/// <summary>The host's question whether a call that waits is to be given up; asked by the thread that waits.</summary>
internal static unsafe class Interrupt
{
    /// <summary>How often it is asked.</summary>
    public const int PollMilliseconds = 50;

    private static volatile Check? _check;

    /// <summary>Whether there is a question.</summary>
    public static bool IsSet => _check is not null;

    /// <summary>Sets it; null: none.</summary>
    public static void Set(delegate* unmanaged[Cdecl]<void*, int> function, void* context) =>
        _check = function is null ? null : new Check(function, context);

    /// <summary>Asks.</summary>
    public static bool IsWanted() => _check is { } check && check.Ask();

    private sealed class Check(delegate* unmanaged[Cdecl]<void*, int> function, void* context)
    {
        private readonly delegate* unmanaged[Cdecl]<void*, int> _function = function;
        private readonly void* _context = context;

        public bool Ask() => _function(_context) != 0;
    }
}
