// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>
/// Gives objects to C as numbers that look like pointers and point nowhere: place in the table, number of its use,
/// kind.
/// One that was closed, is made up or is of another kind is found out, and never followed. Thread-safe.
/// </summary>
internal sealed class HandleTable<T>(int kind)
    where T : class
{
    /// <summary>Most handles at one time.</summary>
    public const int Most = 1 << 20;

    private const int KindBits = 4;
    private const int PlaceBits = 24;
    private readonly Lock _lock = new();
    private readonly Stack<int> _free = new();
    private Entry[] _entries = [];
    private int _count;

    /// <summary>A handle of <paramref name="value"/>, never 0; 0: there are too many.</summary>
    public nint Add(T value)
    {
        lock (_lock)
        {
            if (!_free.TryPop(out int place))
            {
                if (_count == Most)
                    return 0;
                place = _count++;
                if (place == _entries.Length)
                    Grow();
            }

            var entry = _entries[place];
            entry.Use++;
            entry.Value = value;
            return (nint)((entry.Use << (PlaceBits + KindBits)) | ((long)place << KindBits) | (uint)kind);
        }
    }

    /// <summary>What the handle names, or null.</summary>
    public T? Find(nint handle)
    {
        var entry = EntryOf(handle);
        // The value first: whoever takes its place counts up before.
        var value = entry?.Value;
        return value is not null && entry!.Use == UseOf(handle) ? value : null;
    }

    /// <summary>Ends the handle; what it named, or null when it named nothing.</summary>
    public T? Remove(nint handle)
    {
        lock (_lock)
        {
            if (EntryOf(handle) is not { Value: { } value } entry || entry.Use != UseOf(handle))
                return null;
            entry.Value = null;
            _free.Push((int)((handle >> KindBits) & ((1 << PlaceBits) - 1)));
            return value;
        }
    }

    private Entry? EntryOf(nint handle)
    {
        var entries = Volatile.Read(ref _entries);
        long place = (handle >> KindBits) & ((1 << PlaceBits) - 1);
        return (handle & ((1 << KindBits) - 1)) == kind && place < entries.Length ? entries[place] : null;
    }

    private static long UseOf(nint handle) => handle >> (PlaceBits + KindBits);

    private void Grow()
    {
        var larger = new Entry[Math.Max(16, _entries.Length * 2)];
        _entries.CopyTo(larger, 0);
        for (int i = _entries.Length; i < larger.Length; i++)
            larger[i] = new Entry();
        Volatile.Write(ref _entries, larger);
    }

    private sealed class Entry
    {
        private volatile T? _value;
        private long _use;

        public T? Value
        {
            get => _value;
            set => _value = value;
        }

        public long Use
        {
            get => Volatile.Read(ref _use);
            set => Volatile.Write(ref _use, value);
        }
    }
}

/// <summary>Which functions a handle is for.</summary>
internal enum HandleKind
{
    /// <summary>mooncake_mesh.h.</summary>
    Mesh,

    /// <summary>store_c.h.</summary>
    Store,
}

/// <summary>The tables of this process.</summary>
internal static class Handles
{
    /// <summary>Clients.</summary>
    public static HandleTable<Session> Sessions { get; } = new(1);

    /// <summary>Mapped views.</summary>
    public static HandleTable<OpenView> Views { get; } = new(2);
}
