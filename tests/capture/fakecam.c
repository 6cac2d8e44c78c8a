/* A V4L2 capture device for tests on machines without one, preloaded into the process under test.
 *
 * It answers the system calls that OpenCV makes on one device path; the kernel, its drivers and USB
 * take no part. Frame n is a uniform grey of luma 16 + n % 200, in YUYV. Where FAKECAM_JPEG is given
 * the camera offers MJPG, too, and each frame of it is that file.
 *
 * FAKECAM_DEVICE   the path that is answered for
 * FAKECAM_CONTROL  a file that holds "run", "stall" (no further frame) or "unplug" (the device is gone)
 * FAKECAM_JPEG     a JPEG file
 * FAKECAM_LOG      a file to which each format and rate that is asked for is appended
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MAX_FD 1024
#define MAX_BUFFERS 8

static char ours[MAX_FD];
static unsigned width = 640, height = 480, fps = 30;
static unsigned char *memory;
static size_t memory_bytes;
static unsigned queue[MAX_BUFFERS], queued, sequence;
static int sends_jpeg;
static double next_frame;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int control_says(const char *word) {
    char text[32] = {0};
    FILE *file = fopen(getenv("FAKECAM_CONTROL"), "r");
    if (!file) return 0;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    return n > 0 && strncmp(text, word, strlen(word)) == 0;
}

static void log_request(const char *format, ...) {
    FILE *file = fopen(getenv("FAKECAM_LOG"), "a");
    if (!file) return;
    va_list args;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fclose(file);
}

static int is_ours(int fd) { return fd >= 0 && fd < MAX_FD && ours[fd]; }
static size_t frame_bytes(void) { return (size_t)width * height * 2; }

/* An unplugged device wakes its readers too, who then learn of it from the next ioctl. */
static int readable(void) {
    return control_says("unplug") || (!control_says("stall") && queued > 0 && now() >= next_frame);
}

static int wait_readable(double timeout_s) {
    double end = now() + timeout_s;
    while (!readable()) {
        if (now() >= end) return 0;
        usleep(1000);
    }
    return 1;
}

static int open_device(void) {
    if (control_says("unplug")) {
        errno = ENOENT;
        return -1;
    }
    int fd = memfd_create("fakecam", 0);
    ours[fd] = 1;
    return fd;
}

static int open_any(const char *symbol, const char *path, int flags, mode_t mode) {
    const char *device = getenv("FAKECAM_DEVICE");
    if (device && strcmp(path, device) == 0) return open_device();
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
    return real(path, flags, mode);
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = va_arg(args, mode_t);                                                        \
        va_end(args);                                                                              \
        return open_any(#name, path, flags, mode);                                                 \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (is_ours(fd)) ours[fd] = 0;
    return REAL(close)(fd);
}

int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t) {
    for (int fd = 0; r && fd < n && fd < MAX_FD; fd++)
        if (is_ours(fd) && FD_ISSET(fd, r)) {
            if (wait_readable(t ? t->tv_sec + t->tv_usec * 1e-6 : 1e9)) return 1;
            FD_ZERO(r);
            return 0;
        }
    return REAL(select)(n, r, w, e, t);
}

int poll(struct pollfd *p, nfds_t n, int timeout_ms) {
    if (n != 1 || !is_ours(p->fd)) return REAL(poll)(p, n, timeout_ms);
    if (!wait_readable(timeout_ms < 0 ? 1e9 : timeout_ms * 1e-3)) return 0;
    p->revents = POLLIN;
    return 1;
}

static int fail(int error) {
    errno = error;
    return -1;
}

static int format_request(unsigned long request, struct v4l2_format *f) {
    struct v4l2_pix_format *pix = &f->fmt.pix;
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return fail(EINVAL);
    if (request == VIDIOC_S_FMT) {
        unsigned code = pix->pixelformat;
        log_request("format %.4s %ux%u\n", (char *)&code, pix->width, pix->height);
        int small = pix->width <= 320; /* the two sizes there are */
        width = small ? 320 : 640;
        height = small ? 240 : 480;
        sends_jpeg = getenv("FAKECAM_JPEG") && code == V4L2_PIX_FMT_MJPEG;
    }
    memset(pix, 0, sizeof *pix);
    pix->width = width;
    pix->height = height;
    pix->pixelformat = sends_jpeg ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
    pix->field = V4L2_FIELD_NONE;
    pix->bytesperline = sends_jpeg ? 0 : width * 2;
    pix->sizeimage = frame_bytes();
    pix->colorspace = V4L2_COLORSPACE_SRGB;
    return 0;
}

static int rate_request(unsigned long request, struct v4l2_streamparm *p) {
    struct v4l2_fract *interval = &p->parm.capture.timeperframe;
    if (request == VIDIOC_S_PARM && interval->numerator) {
        unsigned asked = interval->denominator / interval->numerator;
        log_request("rate %u\n", asked);
        fps = asked < 30 ? asked : 30;
    }
    p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    interval->numerator = 1;
    interval->denominator = fps;
    return 0;
}

static int request_buffers(int fd, struct v4l2_requestbuffers *b) {
    if (b->memory != V4L2_MEMORY_MMAP) return fail(EINVAL);
    if (memory) munmap(memory, memory_bytes);
    memory = NULL;
    queued = 0;
    if (b->count > MAX_BUFFERS) b->count = MAX_BUFFERS;
    if (!b->count) return 0;
    memory_bytes = frame_bytes() * b->count;
    if (ftruncate(fd, memory_bytes)) return -1;
    memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return 0;
}

static size_t jpeg_frame(unsigned char *frame) {
    FILE *file = fopen(getenv("FAKECAM_JPEG"), "r");
    if (!file) return 0;
    size_t bytes = fread(frame, 1, frame_bytes(), file);
    fclose(file);
    return bytes;
}

static int dequeue(struct v4l2_buffer *b) {
    if (!readable()) return fail(EAGAIN);
    unsigned index = queue[0];
    memmove(queue, queue + 1, --queued * sizeof *queue);
    unsigned char *frame = memory + index * frame_bytes();
    b->bytesused = sends_jpeg ? jpeg_frame(frame) : frame_bytes();
    for (size_t i = 0; !sends_jpeg && i < frame_bytes(); i += 2) {
        frame[i] = 16 + sequence % 200;
        frame[i + 1] = 128;
    }
    next_frame += 1.0 / fps;
    b->index = index;
    b->length = frame_bytes();
    b->m.offset = index * frame_bytes();
    b->sequence = sequence++;
    b->field = V4L2_FIELD_NONE;
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_DONE;
    b->timestamp.tv_sec = (long)now();
    return 0;
}

static int device_request(int fd, unsigned long request, void *a) {
    if (control_says("unplug")) return fail(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *c = a;
        memset(c, 0, sizeof *c);
        strcpy((char *)c->driver, "fakecam");
        strcpy((char *)c->card, "Fake USB camera");
        c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = a;
        if (input->index) return fail(EINVAL);
        memset(input, 0, sizeof *input);
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    case VIDIOC_G_INPUT: *(int *)a = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *f = a;
        if (f->index > (getenv("FAKECAM_JPEG") ? 1 : 0)) return fail(EINVAL);
        f->pixelformat = f->index ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
        return 0;
    }
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT: return format_request(request, a);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: return rate_request(request, a);
    case VIDIOC_REQBUFS: return request_buffers(fd, a);
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = a;
        b->length = frame_bytes();
        b->m.offset = b->index * frame_bytes();
        b->flags = 0;
        return 0;
    }
    case VIDIOC_QBUF: queue[queued++] = ((struct v4l2_buffer *)a)->index; return 0;
    case VIDIOC_DQBUF: return dequeue(a);
    case VIDIOC_STREAMON: next_frame = now(); return 0;
    case VIDIOC_STREAMOFF: queued = 0; return 0;
    default: return fail(EINVAL);
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    return is_ours(fd) ? device_request(fd, request, argument) : REAL(ioctl)(fd, request, argument);
}
