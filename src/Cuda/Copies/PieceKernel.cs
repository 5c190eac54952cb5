// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Cuda.Devices;
using Mooncake.Mesh.Cuda.Interop;

namespace Mooncake.Mesh.Cuda.Copies;

/// <summary>
/// A kernel that copies the pieces of a table, for drivers that copy no batches: device memory and pinned host memory
/// alike, as a kernel reaches both by their addresses. It comes as text, which the driver compiles.
/// </summary>
internal sealed unsafe class PieceKernel : IDisposable
{
    private const uint Threads = 256;

    /// <summary>
    /// Blocks that share a piece. A block has 4 KiB on their way at a time, and a piece of 64 KiB alone must keep PCIe
    /// busy.
    /// </summary>
    private const uint BlocksPerPiece = 4;

    private static ReadOnlySpan<byte> Name => "mooncake_mesh_copy_pieces\0"u8;

    /// <summary>
    /// Block x of a row copies piece x: 16 bytes a thread where source, destination and length allow, else bytes.
    /// https://docs.nvidia.com/cuda/parallel-thread-execution/
    /// </summary>
    private static ReadOnlySpan<byte> Text =>
        """
        .version 6.5
        .target sm_70
        .address_size 64

        .visible .entry mooncake_mesh_copy_pieces(
            .param .u64 to_column,
            .param .u64 from_column,
            .param .u64 length_column)
        {
            .reg .pred %p;
            .reg .b16 %small;
            .reg .b32 %a, %b, %c, %d;
            .reg .b64 %row, %to, %from, %length, %whole, %step, %at, %first, %mixed, %x, %y;

            mov.u32 %a, %ctaid.x;
            mul.wide.u32 %row, %a, 8;
            ld.param.u64 %x, [to_column];
            add.u64 %x, %x, %row;
            ld.global.u64 %to, [%x];
            ld.param.u64 %x, [from_column];
            add.u64 %x, %x, %row;
            ld.global.u64 %from, [%x];
            ld.param.u64 %x, [length_column];
            add.u64 %x, %x, %row;
            ld.global.u64 %length, [%x];

            mov.u32 %a, %ctaid.y;
            mov.u32 %b, %ntid.x;
            mov.u32 %c, %tid.x;
            mad.lo.u32 %d, %a, %b, %c;
            cvt.u64.u32 %first, %d;
            mov.u32 %a, %nctaid.y;
            mul.lo.u32 %a, %a, %b;
            cvt.u64.u32 %step, %a;

            mov.u64 %at, %first;
            or.b64 %mixed, %to, %from;
            and.b64 %mixed, %mixed, 15;
            setp.ne.u64 %p, %mixed, 0;
            @%p bra BYTES;

            and.b64 %whole, %length, -16;
            shl.b64 %at, %first, 4;
            shl.b64 %mixed, %step, 4;
        WORDS:
            setp.ge.u64 %p, %at, %whole;
            @%p bra REST;
            add.u64 %x, %from, %at;
            add.u64 %y, %to, %at;
            ld.global.v4.u32 {%a, %b, %c, %d}, [%x];
            st.global.v4.u32 [%y], {%a, %b, %c, %d};
            add.u64 %at, %at, %mixed;
            bra WORDS;
        REST:
            add.u64 %at, %whole, %first;
        BYTES:
            setp.ge.u64 %p, %at, %length;
            @%p bra DONE;
            add.u64 %x, %from, %at;
            add.u64 %y, %to, %at;
            ld.global.u8 %small, [%x];
            st.global.u8 [%y], %small;
            add.u64 %at, %at, %step;
            bra BYTES;
        DONE:
            ret;
        }
        """u8;

    private readonly CudaLibrary _library;
    private readonly CudaHandle _module;
    private readonly nint _function;

    private PieceKernel(CudaLibrary library, CudaHandle module, nint function)
    {
        _library = library;
        _module = module;
        _function = function;
    }

    /// <summary>
    /// Compiles it in a context that is entered. Null where the driver cannot: it lacks the calls or its compiler, or
    /// the device is older than the text allows; then copies are made one by one.
    /// </summary>
    internal static PieceKernel? TryLoad(CudaContext context)
    {
        CudaLibrary library = context.Library;
        if (library.cuModuleLoadData is null || library.cuModuleGetFunction is null
            || library.cuModuleUnload is null || library.cuLaunchKernel is null)
            return null;

        nint module = 0;
        nint function = 0;
        // A literal of bytes has a 0 behind it, which is what ends the text.
        fixed (byte* text = Text)
        {
            if (library.cuModuleLoadData(&module, text) != CUresult.CUDA_SUCCESS)
                return null;
        }

        var handle = new CudaHandle(context, module, library.cuModuleUnload);
        fixed (byte* name = Name)
        {
            if (library.cuModuleGetFunction(&function, module, name) == CUresult.CUDA_SUCCESS)
                return new PieceKernel(library, handle, function);
        }

        handle.Dispose();
        return null;
    }

    /// <summary>Puts the copy of a table's rows on a stream.</summary>
    /// <exception cref="CudaException">The driver refuses.</exception>
    internal void Launch(PieceTable table, int pieces, nint stream)
    {
        nint to = (nint)table.To;
        nint from = (nint)table.From;
        nint lengths = (nint)table.Lengths;
        void** arguments = stackalloc void*[] { &to, &from, &lengths };
        int result = _library.cuLaunchKernel(_function, (uint)pieces, BlocksPerPiece, 1, Threads, 1, 1, 0, stream,
            arguments, null);
        CudaException.ThrowIfFailed(_library, result, nameof(_library.cuLaunchKernel));
    }

    /// <summary>Keeps it loaded until let go of, whatever its owner does meanwhile.</summary>
    /// <exception cref="ObjectDisposedException">It is unloaded.</exception>
    internal void Hold()
    {
        bool held = false;
        _module.DangerousAddRef(ref held);
    }

    /// <summary>Ends a hold.</summary>
    internal void LetGo() => _module.DangerousRelease();

    /// <summary>Unloads it, once nobody holds it.</summary>
    public void Dispose() => _module.Dispose();
}
