// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Devices;
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>
/// Puts the copy of a chunk on a stream: one copy where it is one piece; else a batch where the driver has batches,
/// else the kernel, else a copy for each piece. Thread-safe.
/// </summary>
internal sealed unsafe class PieceCopier : IDisposable
{
    /// <summary>Most copies that a chunk is made of where each is a call of its own.</summary>
    private const int MostSingle = 256;

    /// <summary>Least pieces for which a batch or a kernel is worth it.</summary>
    private const int Few = 4;

    private readonly CudaLibrary _library;
    private readonly PieceKernel? _kernel;
    private volatile bool _hasBatches;

    private PieceCopier(CudaLibrary library, bool hasBatches, PieceKernel? kernel)
    {
        _library = library;
        _hasBatches = hasBatches;
        _kernel = kernel;
    }

    /// <summary>Whether the driver copies batches.</summary>
    internal bool HasBatches => _hasBatches;

    /// <summary>Finds out what the driver can; the context is entered.</summary>
    internal static PieceCopier Open(CudaContext context)
    {
        bool hasBatches = context.Library.cuMemcpyBatchAsync is not null;
        return new PieceCopier(context.Library, hasBatches, hasBatches ? null : PieceKernel.TryLoad(context));
    }

    /// <summary>Keeps the kernel through a copy.</summary>
    /// <exception cref="ObjectDisposedException">This has been disposed.</exception>
    internal void Hold() => _kernel?.Hold();

    /// <summary>Ends a hold.</summary>
    internal void LetGo() => _kernel?.LetGo();

    /// <summary>Most pieces of a chunk.</summary>
    /// <param name="isExact">Whether all of the memory is known to be there: the kernel may touch no other.</param>
    internal int MostPieces(bool isExact) =>
        _hasBatches || (isExact && _kernel is not null) ? PieceTable.Most : MostSingle;

    /// <summary>Puts the copy of a chunk on a stream; the context is entered.</summary>
    /// <param name="table">Its pieces.</param>
    /// <param name="pieces">How many.</param>
    /// <param name="isRead">Whether the bytes come from the device.</param>
    /// <param name="isExact">Whether all of the memory is known to be there.</param>
    /// <param name="stream">The stream.</param>
    /// <exception cref="CudaException">The driver refuses; some pieces may be on their way.</exception>
    internal void Put(PieceTable table, int pieces, bool isRead, bool isExact, nint stream)
    {
        if (pieces >= Few && _hasBatches && TryBatch(table, pieces, stream))
            return;
        if (pieces >= Few && isExact && _kernel is not null)
            _kernel.Launch(table, pieces, stream);
        else
            PutEach(table, pieces, isRead, stream);
    }

    /// <summary>Ends the kernel.</summary>
    public void Dispose() => _kernel?.Dispose();

    private bool TryBatch(PieceTable table, int pieces, nint stream)
    {
        var attributes = new CUmemcpyAttributes
        {
            srcAccessOrder = CUmemcpySrcAccessOrder.CU_MEMCPY_SRC_ACCESS_ORDER_STREAM,
        };
        nuint first = 0;
        nuint refused = 0;
        int result = _library.cuMemcpyBatchAsync(table.To, table.From, table.Lengths, (nuint)pieces, &attributes,
            &first, 1, &refused, stream);
        if (result == CUresult.CUDA_ERROR_NOT_SUPPORTED)
        {
            _hasBatches = false;
            return false;
        }

        CudaException.ThrowIfFailed(_library, result, nameof(_library.cuMemcpyBatchAsync));
        return true;
    }

    private void PutEach(PieceTable table, int pieces, bool isRead, nint stream)
    {
        for (int i = 0; i < pieces; i++)
        {
            nint to = table.To[i];
            nint from = table.From[i];
            nuint length = table.Lengths[i];
            if (isRead)
            {
                int result = _library.cuMemcpyDtoHAsync_v2((void*)to, from, length, stream);
                CudaException.ThrowIfFailed(_library, result, nameof(_library.cuMemcpyDtoHAsync_v2));
            }
            else
            {
                int result = _library.cuMemcpyHtoDAsync_v2(to, (void*)from, length, stream);
                CudaException.ThrowIfFailed(_library, result, nameof(_library.cuMemcpyHtoDAsync_v2));
            }
        }
    }
}
