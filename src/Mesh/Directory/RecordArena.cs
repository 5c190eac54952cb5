// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// Memory for many small pieces, off the garbage-collected heap: pieces of one size are handed out again, chunks are
/// asked for as huge pages, since a walk of the page tables costs as much as a miss. Memory that was handed out once
/// stays readable until the arena is collected, so that a reader without a lock at worst reads what is old.
/// Thread-safe.
/// </summary>
internal sealed unsafe partial class RecordArena
{
    /// <summary>Larger pieces come from the C library, and are given back to it.</summary>
    public const int MostBytes = 1024;

    private const int Unit = 8;
    private const int FirstChunk = 64 * 1024;
    private const int LargestChunk = 4 << 20;
    private const int HugePage = 2 << 20;
    private const int AdviseHugePages = 14;

    private readonly Lock _lock = new();
    private readonly nint[] _free = new nint[(MostBytes / Unit) + 1];
    private readonly List<nint> _chunks = [];
    private byte* _next;
    private byte* _end;
    private int _chunk = FirstChunk;
    private long _bytes;

    ~RecordArena()
    {
        foreach (nint chunk in _chunks)
            NativeMemory.AlignedFree((void*)chunk);
    }

    /// <summary>Bytes handed out now.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>A piece of <paramref name="bytes"/>, with whatever was in it before.</summary>
    public byte* Take(int bytes)
    {
        int rounded = Rounded(bytes);
        Interlocked.Add(ref _bytes, rounded);
        if (rounded > MostBytes)
            return (byte*)NativeMemory.Alloc((nuint)rounded);
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
            NativeMemory.Free(piece);
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

    private void NewChunk()
    {
        // What is left of the last chunk, less than one piece of the largest size, is given up.
        int bytes = _chunk;
        byte* chunk = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, (nuint)Math.Min(bytes, HugePage));
        if (bytes >= HugePage)
            _ = Advise(chunk, (nuint)bytes, AdviseHugePages);
        _chunks.Add((nint)chunk);
        _next = chunk;
        _end = chunk + bytes;
        _chunk = Math.Min(bytes * 2, LargestChunk);
    }

    /// <summary>madvise(2); where it refuses, ordinary pages do as well.</summary>
    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);
}
