// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>Registered memory that generation words are read into, one cell a read. Thread-safe.</summary>
internal sealed class WordCells : IDisposable
{
    /// <summary>Most reads at one time.</summary>
    private const int Cells = 4096;

    private readonly Lock _gate = new();
    private readonly Stack<nint> _free = new(Cells);
    private readonly nint _bytes;

    private WordCells(nint bytes) => _bytes = bytes;

    /// <summary>What the cells lie in.</summary>
    public LocalMemory Memory { get; private set; } = null!;

    /// <summary>Makes the cells; System when they cannot be registered.</summary>
    public static async Task<MeshResult<WordCells>> CreateAsync(RdmaEngine engine)
    {
        var cells = Allocate();
        var memory = await engine.RegisterAsync(cells.Range, MemoryAccess.LocalWrite);
        if (!memory.Succeeded)
        {
            cells.Dispose();
            return memory.Error!;
        }

        cells.Memory = memory.Value;
        return cells;
    }

    /// <summary>A cell; null: all are taken.</summary>
    public nint? Take()
    {
        lock (_gate)
            return _free.TryPop(out nint cell) ? cell : null;
    }

    /// <summary>Gives a cell back.</summary>
    public void Give(nint cell)
    {
        lock (_gate)
            _free.Push(cell);
    }

    /// <summary>The word that has landed in a cell.</summary>
    public unsafe ulong Read(nint cell) => Volatile.Read(ref *(ulong*)cell);

    /// <inheritdoc/>
    public unsafe void Dispose() => NativeMemory.AlignedFree((void*)_bytes);

    private NativeRange Range => new(_bytes, Cells * sizeof(ulong));

    private static unsafe WordCells Allocate()
    {
        var cells = new WordCells((nint)NativeMemory.AlignedAlloc(Cells * sizeof(ulong), 4096));
        for (int i = Cells - 1; i >= 0; i--)
            cells._free.Push(cells._bytes + (i * sizeof(ulong)));
        return cells;
    }
}
