// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Memory for many small pieces, off the garbage-collected heap: pieces of one size are handed out again, chunks are
/// asked for as huge pages, since a walk of the page tables costs as much as a miss. Memory that was handed out once
/// stays readable until the arena is collected, so that a reader without a lock at worst reads what is old.
/// Thread-safe.
/// </summary>
internal sealed unsafe class NativeArena
{
    /// <summary>Larger pieces come one by one from the C library, and are given back to it.</summary>
    public const int MostBytes = 1024;

    private const int Unit = 8;
    private const int FirstChunk = 64 * 1024;
    private const int LargestChunk = 4 << 20;

    private readonly Lock _lock = new();
    private readonly nint[] _free = new nint[(MostBytes / Unit) + 1];
    private readonly List<(nint Address, int Bytes)> _chunks = [];
    private Large* _large;
    private byte* _next;
    private byte* _end;
    private int _chunk = FirstChunk;
    private long _bytes;

    ~NativeArena()
    {
        foreach (var (chunk, bytes) in _chunks)
            NativePages.Unmap(chunk, bytes);
        while (_large is not null)
        {
            Large* next = _large->Next;
            NativeMemory.Free(_large);
            _large = next;
        }
    }

    /// <summary>Bytes handed out now.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>A piece of <paramref name="bytes"/>, with whatever was in it before.</summary>
    public byte* Take(int bytes)
    {
        int rounded = Rounded(bytes);
        Interlocked.Add(ref _bytes, rounded);
        if (rounded > MostBytes)
            return TakeLarge(rounded);
        lock (_lock)
        {
            nint free = _free[rounded / Unit];
            if (free != 0)
            {
                _free[rounded / Unit] = *(nint*)free;
                return (byte*)free;
            }

            if (_end - _next < rounded)
                NewChunk();
            byte* taken = _next;
            _next += rounded;
            return taken;
        }
    }

    /// <summary>Gives back what <see cref="Take"/> gave for the same size.</summary>
    public void Give(void* piece, int bytes)
    {
        int rounded = Rounded(bytes);
        Interlocked.Add(ref _bytes, -rounded);
        if (rounded > MostBytes)
        {
            GiveLarge((Large*)piece - 1);
            return;
        }

        lock (_lock)
        {
            *(nint*)piece = _free[rounded / Unit];
            _free[rounded / Unit] = (nint)piece;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Rounded(int bytes) => (bytes + Unit - 1) & ~(Unit - 1);

    private byte* TakeLarge(int bytes)
    {
        var large = (Large*)NativeMemory.Alloc((nuint)(sizeof(Large) + bytes));
        lock (_lock)
        {
            *large = new Large { Next = _large };
            if (_large is not null)
                _large->Before = large;
            _large = large;
        }

        return (byte*)(large + 1);
    }

    private void GiveLarge(Large* large)
    {
        lock (_lock)
        {
            if (large->Before is null)
                _large = large->Next;
            else
                large->Before->Next = large->Next;
            if (large->Next is not null)
                large->Next->Before = large->Before;
        }

        NativeMemory.Free(large);
    }

    private void NewChunk()
    {
        // What is left of the last chunk, less than one piece of the largest size, is given up.
        int bytes = _chunk;
        byte* chunk = (byte*)NativePages.MapHuge(bytes);
        _chunks.Add(((nint)chunk, bytes));
        _next = chunk;
        _end = chunk + bytes;
        _chunk = Math.Min(bytes * 2, LargestChunk);
    }

    /// <summary>What stands before a large piece.</summary>
    private struct Large
    {
        public Large* Before;
        public Large* Next;
    }
}
